// The messages and the service of the contract as they are generated, for what the client leaves
// out.

export * from "./gen/palimpsest/v1/canvas_pb.js";
export * from "./gen/palimpsest/v1/chat_pb.js";
export * from "./gen/palimpsest/v1/decide_pb.js";
export * from "./gen/palimpsest/v1/engine_state_pb.js";
export * from "./gen/palimpsest/v1/generation_pb.js";
export * from "./gen/palimpsest/v1/model_pb.js";
export * from "./gen/palimpsest/v1/prompt_pb.js";
export * from "./gen/palimpsest/v1/sampling_pb.js";
export * from "./gen/palimpsest/v1/service_pb.js";
