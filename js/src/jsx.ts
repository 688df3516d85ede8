/** What the bundle makes elements with; see `build.mjs`. */
export { Fragment, h } from "preact";
