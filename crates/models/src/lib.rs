//! Embedding and chat models: ONNX Runtime and OpenAI-compatible endpoints.
