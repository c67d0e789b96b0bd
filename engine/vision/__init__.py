"""Images and the frames of videos: from RGB to the embeddings that stand in a prompt."""
