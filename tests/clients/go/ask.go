// Asks a server with the generated stubs; prints whether drafts came, and the answer.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	pb "palimpsest.example/protos/palimpsest/v1"
)

// Debian's gRPC is older than its generator; any release since 2020 needs no codec of one's own.
type codec struct{}

func (codec) Name() string                        { return "proto" }
func (codec) Marshal(message any) ([]byte, error) { return proto.Marshal(message.(proto.Message)) }
func (codec) Unmarshal(data []byte, to any) error { return proto.Unmarshal(data, to.(proto.Message)) }

func main() {
	options := grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}))
	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	seed := uint64(7)
	part := &pb.ContentPart{Kind: &pb.ContentPart_Text{Text: os.Args[2]}}
	message := &pb.ChatMessage{Role: pb.ChatRole_CHAT_ROLE_USER, Parts: []*pb.ContentPart{part}}
	chat := &pb.ChatPrompt{Messages: []*pb.ChatMessage{message}}
	request := &pb.StreamGenerateRequest{
		Input: &pb.GenerationInput{
			Prompt:   &pb.Prompt{Kind: &pb.Prompt_Chat{Chat: chat}},
			Sampling: &pb.SamplingParameters{Seed: &seed},
		},
		Preview: &pb.PreviewOptions{Mode: pb.PreviewMode_PREVIEW_MODE_TOKENS},
	}
	client := pb.NewDiffusionServiceClient(connection)
	stream, err := client.StreamGenerate(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	drafts, text := 0, ""
	for {
		event, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if event.GetSnapshot() != nil {
			drafts++
		}
		text += event.GetCommit().GetTextDelta()
	}
	fmt.Println(drafts > 0, text)
}
