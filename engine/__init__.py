"""Token ids in, events out: model, cache, sampler. Knows no gRPC, protobuf, HTTP or tracing."""
