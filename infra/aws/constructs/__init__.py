"""The building blocks: each knows how one thing is made safely, and nothing of the others beyond what it is handed."""
