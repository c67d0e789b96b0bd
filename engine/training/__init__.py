"""How the bundled model is made: tasks, tokenizer, objective and loop. Nothing here runs while
serving.
"""
