//! Cutting text into chunks by structure and by the tokens of the embedding model.
