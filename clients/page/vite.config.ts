import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// The server ships what is built here, at `/`; names without a hash, so that builds can be compared.
export default defineConfig({
  base: "./",
  resolve: {
    alias: { "@palimpsest/client": fileURLToPath(new URL("../web/src/index.ts", import.meta.url)) },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: "../../server/page/built",
    emptyOutDir: true,
    modulePreload: false,
    rollupOptions: {
      output: { entryFileNames: "page.js", assetFileNames: "page[extname]" },
    },
  },
});
