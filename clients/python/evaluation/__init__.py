"""Measures how often a served model is right, in how many steps, and how fast: `palimpsest eval`.

`lines`, `items`, `public` and `suite` read questions; `transport` and `runner` ask them, `matchers`
judge the answers; `figures`, `intervals` and `comparison` count; `records`, `table`, `plot` and
`report` write down what came of it; `flags`, `command` and `progress` are what a terminal sees.
Knows the client alone, no engine and no server.
"""
