// What the bundle's JSX is made of: as calls with the children behind, it is smaller than as objects that name them.
export { Fragment, h } from "preact";
