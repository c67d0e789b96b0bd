"""The gRPC server around the engine process. Never imports torch."""
