import { render } from "preact";

render(<h1>Palimpsest</h1>, document.getElementById("page")!);
