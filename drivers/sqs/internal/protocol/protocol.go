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
	if Knows(o.Protocol) {
		o.Protocol = Protocol{o.Protocol.(*awsjson.Protocol)}
	}
}

// Knows reports whether p is the SDK's own protocol.
func Knows(p smithyhttp.ClientProtocol) bool {
	own, ok := p.(*awsjson.Protocol)
	return ok && own.ID() == known
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
	buf, _ := buffers.Get().(*bytes.Buffer)
	defer release(buf)
	_, err := buf.ReadFrom(resp.Body)
	if err == nil && Decode(buf.Bytes(), out) {
		return nil
	}
	rest := &replay{Reader: bytes.NewReader(buf.Bytes()), body: resp.Body, err: err}
	resp.Body = rest
	err = p.Protocol.DeserializeResponse(ctx, op, registry, resp, out)
	resp.Body = rest.body
	return err
}

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

// A replay reads a body that was read already, with the error that ended the reading.
type replay struct {
	*bytes.Reader
	body io.ReadCloser
	err  error
}

func (r *replay) Read(b []byte) (int, error) {
	if r.Len() == 0 && r.err != nil {
		return 0, r.err
	}
	return r.Reader.Read(b)
}

// WriteTo hides the method of the reader, which knows no error.
func (r *replay) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

// Close closes the body.
func (r *replay) Close() error { return r.body.Close() }
