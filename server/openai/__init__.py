"""OpenAI's API over generation: bodies become messages of the contract, events become chunks.

Meanings and bounds are the contract's. What OpenAI has no name for stands in a body under
`diffusion`: `previews` (drafts, in chunks without choices, at most `max_rate_hz` a second, of every
`every_n_steps`-th step), `report` (seed, steps and speeds at the end), settings of denoising.

`reasoning_effort` is the contract's preset of work; a thought is asked for by `enable_thinking` of
`chat_template_kwargs`, and `reasoning_effort` `none` forbids it. `tool_choice` `none` shows no
tools.

Responses are the same in another layout; their drafts are events of the type `palimpsest.draft`.
They are not kept, so that all input comes with the request.
"""
