package pubsub_test

import (
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that the tests replace
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
)

// codecToRegister names the variable with the codec that a process of these tests registers:
// gRPC allows it only before the first call.
const codecToRegister = "SLUICE_TEST_CODEC"

func registerCodec(kind string) {
	switch kind {
	case "old":
		encoding.RegisterCodec(oldCodec{})
	case "counting":
		counting.CodecV2 = encoding.GetCodecV2("proto")
		encoding.RegisterCodecV2(&counting)
	}
}

// oldCodec is a codec with gRPC's older interface, as those that generators other than
// Google's come with.
type oldCodec struct{}

func (oldCodec) Marshal(v any) ([]byte, error)   { return proto.Marshal(v.(proto.Message)) }
func (oldCodec) Unmarshal(b []byte, v any) error { return proto.Unmarshal(b, v.(proto.Message)) }
func (oldCodec) Name() string                    { return "proto" }

// countingCodec counts the answers to Pulls that it decodes.
type countingCodec struct {
	encoding.CodecV2
	answers atomic.Int64
}

var counting countingCodec

func (c *countingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if _, ok := v.(*pubsubpb.PullResponse); ok {
		c.answers.Add(1)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// A program's own codec for protobuf decodes the answers to Pulls, too.
func TestAProgramsOwnCodec(t *testing.T) {
	kind := os.Getenv(codecToRegister)
	if kind == "" {
		for _, kind := range []string{"old", "counting"} {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAProgramsOwnCodec$")
				cmd.Env = append(os.Environ(), codecToRegister+"="+kind)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, string(out))
			})
		}
		return
	}
	q := newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, q), text("body"))
	require.Equal(t, "body", string(receive(t, openSource(t, q, ""), 1)[0].Message.Body))
	if kind == "counting" {
		require.Positive(t, counting.answers.Load())
	}
}
