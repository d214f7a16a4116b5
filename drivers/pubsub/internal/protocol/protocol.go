// Package protocol decodes the answers to Pulls in place of the generated code, with
// fewer allocations. A [Codec] is an option of a call:
//
//	api.Pull(ctx, req, gax.WithGRPCOptions(grpc.ForceCodecV2(&protocol.Codec{Start: start, Add: add})))
//
// All else is the SDK's and gRPC's. The generated code allocates three structs for each
// message, a map if it has an attribute, and each string, and finds fields by tables.
//
// # Invariants
//
// A Codec either yields the messages that the generated code yields for the same bytes, or
// it gives up, and the codec that is registered for protobuf decodes the answer: if a field
// is unknown, has another wire type or is given twice, if a text is not UTF-8, and if the
// bytes are malformed. So errors are those of the SDK, and a new field of the service costs
// time, not correctness. Fuzz tests compare the two; TestFields fails if the SDK gets a new
// field.
//
// With a Codec the SDK's answer is empty. It must not be used on a connection on which a
// program may have interceptors, which could read the messages there, nor unless [Usable]
// returns true.
package protocol

import (
	"reflect"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// A Message is a message of an answer. Its bytes are gRPC's, which uses them again: they
// are valid only during the call of Codec.Add, which must copy what it keeps.
type Message struct {
	AckID, ID, Group, Data []byte
	Attributes             []Attribute // if two have the same name, the later one counts
	Attempt                int32
	Timed                  bool // has a publish time: the next two
	Nanos                  int32
	Seconds                int64
}

// An Attribute is an attribute of a Message.
type Attribute struct{ Name, Value []byte }

// A Codec encodes the request of one Pull and decodes its answer.
type Codec struct {
	// Start is called with the number of messages before they are added, again if gRPC
	// repeats the call, and with 0 if the codec gives up: the SDK's answer then has the
	// messages. It drops what was added before.
	Start func(n int)
	Add   func(m *Message)
}

var _ encoding.CodecV2 = (*Codec)(nil)

// Name returns the empty name. gRPC appends a name to the content type, which is thus that
// of a call without a codec of its own.
func (*Codec) Name() string { return "" }

// Marshal implements [encoding.CodecV2].
func (*Codec) Marshal(v any) (mem.BufferSlice, error) { return registered().Marshal(v) }

// Unmarshal implements [encoding.CodecV2].
func (c *Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if _, ok := v.(*pubsubpb.PullResponse); ok && c.decode(data) {
		return nil
	}
	return registered().Unmarshal(data, v)
}

// ownCodec is the package of gRPC's codec for protobuf.
const ownCodec = "google.golang.org/grpc/encoding/proto"

// Usable reports whether a Codec may take the place of the codec that is registered for
// protobuf: that must be gRPC's. A program may register its own, which then has to see
// the answers.
func Usable() bool {
	t := reflect.TypeOf(registered()) // nil if the program's has gRPC's older interface
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().PkgPath() == ownCodec
}

func registered() encoding.CodecV2 { return encoding.GetCodecV2(proto.Name) }

// decode decodes an answer. It returns false if the registered codec must decode it.
func (c *Codec) decode(data mem.BufferSlice) bool {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	answer := buf.ReadOnlyData()
	n, ok := count(answer)
	if !ok {
		c.Start(0)
		return false
	}
	c.Start(n)
	var p parser
	for len(answer) > 0 {
		if answer = p.next(answer); p.failed {
			c.Start(0)
			return false
		}
		c.Add(&p.message)
	}
	return true
}
