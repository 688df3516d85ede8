/** Runs the tests in a simulated browser. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  server: { fs: { allow: [".."] } }, // the bundle is beside the Python package
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.{ts,tsx}"],
    isolate: false, // the simulated browser starts once for each process, not for each file: that took most of the time
  },
});
