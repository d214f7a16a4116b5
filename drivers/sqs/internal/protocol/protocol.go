// Package protocol encodes and decodes the requests of a busy queue in place of the
// AWS SDK, with fewer allocations. A [Protocol] is an option of a call:
//
//	api.ReceiveMessage(ctx, in, protocol.Use)
//
// It replaces the SDK's serializer and the decoding of successful ReceiveMessage and
// batch responses. All else is the SDK's: middleware, retries, signing, endpoints, HTTP,
// and errors. The SDK allocates a pointer for each field of each message, and
// encodes into a buffer that it grows from a kilobyte; both together are a third of
// the allocations of a receive with its delete.
//
// # Invariants
//
// An encoder is driven by the SDK's own description of the input (its Serialize
// method), so that it omits no field. If the description uses a type that no operation
// of SQS has today, the SDK encodes the request.
//
// A decoder knows the fields of the outputs. It either returns the value that the SDK
// returns for the same bytes, or it gives up, and the SDK decodes the response: if the
// status is not 2xx, a field is unknown, null or given twice, an entry of a batch has
// failed, or the text is not valid JSON. So errors are those of the SDK. The fuzz
// tests compare the two; TestFields fails if the SDK gets a new field.
package protocol

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
)

// A Protocol is the SDK's protocol with a faster encoder and decoder. It may be used
// concurrently.
type Protocol struct{ *awsjson.Protocol }

var _ smithyhttp.ClientProtocol = Protocol{}

// Use makes a call use a [Protocol]. A client with a protocol that is not the SDK's
// own keeps it.
func Use(o *awssqs.Options) {
	if p, ok := own(o.Protocol); ok {
		o.Protocol = Protocol{p}
	}
}

// Knows reports whether p is the SDK's own protocol.
func Knows(p smithyhttp.ClientProtocol) bool {
	_, ok := own(p)
	return ok
}

func own(p smithyhttp.ClientProtocol) (*awsjson.Protocol, bool) {
	j, ok := p.(*awsjson.Protocol)
	return j, ok && j.ID() == known
}

// known is the protocol whose headers SerializeRequest sets.
var known = smithy.ShapeID{Namespace: "aws.protocols", Name: "awsJson1_0"}

// SerializeRequest sets the request's method, path, header and body.
func (p Protocol) SerializeRequest(ctx context.Context, op *smithy.OperationSchema, in smithy.Serializable, req *smithyhttp.Request) error {
	body, ok := Encode(in)
	if !ok || op.Input == nil || op.IsInputEventStream() {
		return p.Protocol.SerializeRequest(ctx, op, in, req)
	}
	req.Method = http.MethodPost
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	req.Header.Set("X-Amz-Target", "AmazonSQS."+op.ID().Name)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amzn-Query-Mode", "true")
	out, err := req.SetStream(bytes.NewReader(body))
	if err != nil {
		return err
	}
	*req = *out
	return nil
}

// DeserializeResponse decodes a response into out.
func (p Protocol) DeserializeResponse(ctx context.Context, op *smithy.OperationSchema, registry *smithy.TypeRegistry,
	resp *smithyhttp.Response, out smithy.Deserializable) error {
	if resp.StatusCode < 200 || resp.StatusCode >= 300 || !decodes(out) {
		return p.Protocol.DeserializeResponse(ctx, op, registry, resp, out)
	}
	again, _ := Read(resp.Body, out) // the SDK meets the error when it reads
	if again == nil {
		return nil
	}
	body := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{again, body}
	err := p.Protocol.DeserializeResponse(ctx, op, registry, resp, out)
	resp.Body = body
	return err
}

// Read reads the body of a response to its end and decodes it into out, if out is not nil. If out is
// decoded it returns nil and nil. Otherwise it returns a reader of the same bytes, for the SDK, which
// ends with the error that ended the reading, and that error. It may be called concurrently.
func Read(body io.Reader, out smithy.Deserializable) (again io.Reader, err error) {
	buf, _ := buffers.Get().(*bytes.Buffer)
	defer release(buf)
	_, err = buf.ReadFrom(body)
	if err == nil && out != nil && decode(buf.Bytes(), out) {
		return nil, nil
	}
	again = bytes.NewReader(bytes.Clone(buf.Bytes()))
	if err != nil {
		again = io.MultiReader(again, failing{err})
	}
	return again, err
}

// A failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// maxBuffer is the capacity of the largest buffer that is kept, in bytes.
const maxBuffer = 64 << 10

// buffers are the responses that are being decoded. Decoded values do not point into
// them.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func release(b *bytes.Buffer) {
	if b.Cap() <= maxBuffer {
		b.Reset()
		buffers.Put(b)
	}
}
