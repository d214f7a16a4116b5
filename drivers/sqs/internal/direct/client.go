// Package direct makes the requests of a busy queue without the AWS SDK's middleware stack,
// which the SDK builds anew for each call: a fifth of a consumer's processor time, and two
// fifths of what it allocates. A [Client] is a client of the SDK and takes its place:
//
//	client := direct.New(awssqs.NewFromConfig(cfg, direct.Sign))
//
// # How it works
//
// The client learns the form of a request from one that the SDK makes, when the SDK signs it:
// its URL, its header, and what it is signed for. For a minute, it makes ReceiveMessage and the
// batch requests in that form: it encodes and decodes by package protocol, gets credentials from
// the SDK's provider, signs by package signer, and sends by the SDK's HTTP client. Then the
// SDK makes one again, so that endpoints and regions stay the SDK's.
//
// Only a response of status 2xx that package protocol decodes is an answer. Any other outcome,
// such as a lost connection or an error of SQS, is handed to the SDK as that of its first try. So
// errors, retries, and the correction of the clock are the SDK's, and no request is made that
// the SDK would not have made.
//
// All calls are the SDK's if something wants to see them or to change them: middleware,
// interceptors, a tracer, a meter, a logger of requests, another signer, protocol, scheme of
// authentication or resolver of endpoints. So are those on AWS Lambda: the SDK passes on a trace there
// that ends endless loops. A call without options is the SDK's too, since only the driver's calls have
// some.
package direct

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/metrics"
	"github.com/aws/smithy-go/tracing"

	"github.com/sluice-go/sluice/drivers/sqs/internal/protocol"
)

// A Client is a client of the SDK that makes the requests of a busy queue itself. Its methods
// may be called concurrently.
type Client struct {
	*awssqs.Client
	signer      *signer // nil if all calls are the SDK's
	credentials aws.CredentialsProvider
	http        awssqs.HTTPClient
}

// New returns a Client for a client of the SDK.
func New(c *awssqs.Client) *Client {
	o := c.Options()
	s, ok := o.HTTPSignerV4.(*signer)
	if !ok || o.Credentials == nil || o.HTTPClient == nil || !unobserved(&o) {
		return &Client{Client: c}
	}
	s.learns.Store(true)
	return &Client{Client: c, signer: s, credentials: o.Credentials, http: o.HTTPClient}
}

// unobserved reports whether nothing sees or changes what is between a call and its request.
func unobserved(o *awssqs.Options) bool {
	plain := awssqs.New(awssqs.Options{}).Options()
	if o.EndpointResolver != nil || decisions(o) != decisions(&plain) { //nolint:staticcheck // users may still have one
		return false
	}
	_, untraced := o.TracerProvider.(*tracing.NopTracerProvider)
	_, unmetered := o.MeterProvider.(metrics.NopMeterProvider)
	interceptors := reflect.ValueOf(o.Interceptors)
	for i := range interceptors.NumField() {
		if interceptors.Field(i).Len() > 0 {
			return false
		}
	}
	return untraced && unmetered && len(o.APIOptions) == 0 && o.ClientLogMode == 0 && protocol.Knows(o.Protocol) &&
		os.Getenv("AWS_LAMBDA_FUNCTION_NAME") == ""
}

// decisions returns the types of the parts that choose the target and the identity of a request. A
// user's own may choose for each request.
func decisions(o *awssqs.Options) (types [3]reflect.Type) {
	if len(o.AuthSchemes) == 1 {
		types[0] = reflect.TypeOf(o.AuthSchemes[0])
	}
	types[1], types[2] = reflect.TypeOf(o.AuthSchemeResolver), reflect.TypeOf(o.EndpointResolverV2)
	return types
}

// ReceiveMessage receives messages.
func (c *Client) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput, options ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	if in.WaitTimeSeconds == 0 { // an option sends the zero, which the SDK leaves out
		return c.Client.ReceiveMessage(ctx, in, options...)
	}
	return call(ctx, c, targetReceive, in, new(awssqs.ReceiveMessageOutput), c.Client.ReceiveMessage, options)
}

// SendMessageBatch sends up to ten messages.
func (c *Client) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput, options ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	return call(ctx, c, targetSend, in, new(awssqs.SendMessageBatchOutput), c.Client.SendMessageBatch, options)
}

// DeleteMessageBatch deletes up to ten messages.
func (c *Client) DeleteMessageBatch(ctx context.Context, in *awssqs.DeleteMessageBatchInput, options ...func(*awssqs.Options)) (*awssqs.DeleteMessageBatchOutput, error) {
	return call(ctx, c, targetDelete, in, new(awssqs.DeleteMessageBatchOutput), c.Client.DeleteMessageBatch, options)
}

// ChangeMessageVisibilityBatch sets the visibility timeouts of up to ten messages.
func (c *Client) ChangeMessageVisibilityBatch(ctx context.Context, in *awssqs.ChangeMessageVisibilityBatchInput, options ...func(*awssqs.Options)) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
	return call(ctx, c, targetChange, in, new(awssqs.ChangeMessageVisibilityBatchOutput), c.Client.ChangeMessageVisibilityBatch, options)
}

// The values of the header X-Amz-Target.
const (
	targetReceive = "AmazonSQS.ReceiveMessage"
	targetSend    = "AmazonSQS.SendMessageBatch"
	targetDelete  = "AmazonSQS.DeleteMessageBatch"
	targetChange  = "AmazonSQS.ChangeMessageVisibilityBatch"
)

// call makes a request, or has the SDK make it. If the request had another outcome than an
// answer, the SDK takes it for that of its first try.
func call[In smithy.Serializable, Out smithy.Deserializable](ctx context.Context, c *Client, target string, in In, out Out,
	sdk func(context.Context, In, ...func(*awssqs.Options)) (Out, error), options []func(*awssqs.Options)) (Out, error) {
	if c.signer != nil && len(options) > 0 {
		first, answered := c.request(ctx, target, in, out)
		if answered {
			return out, nil
		}
		if first != nil {
			options = append(slices.Clip(options), first.use)
			if first.whole { // or the SDK would not look at it if ctx has ended meanwhile
				first.ctx, ctx = ctx, context.WithoutCancel(ctx)
			}
		}
	}
	return sdk(ctx, in, options...)
}

// request makes a request. It returns true if the answer is in out, and otherwise the outcome,
// which is nil if no request was made.
func (c *Client) request(ctx context.Context, target string, in smithy.Serializable, out smithy.Deserializable) (*outcome, bool) {
	f := c.signer.form.Load()
	if f == nil || time.Since(f.learned) > fresh {
		return nil, false
	}
	identity, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, false
	}
	body, ok := protocol.Encode(in)
	if !ok {
		return nil, false
	}
	r := f.request(ctx, target, body)
	sum := sha256.Sum256(body)
	var hash [2 * sha256.Size]byte
	hex.Encode(hash[:], sum[:])
	if err := c.signer.next.SignHTTP(ctx, identity, r, string(hash[:]), f.service, f.region, time.Now().Add(f.skew), f.options...); err != nil {
		return nil, false
	}
	resp, err := c.http.Do(r)
	if err != nil || resp == nil {
		return &outcome{err: err, client: c, identity: identity}, false
	}
	accepted := resp.StatusCode/100 == 2
	var answer smithy.Deserializable
	if accepted {
		answer = out
	}
	again, err := protocol.Read(resp.Body, answer)
	_ = resp.Body.Close() // all that it had to say was read
	if again == nil {
		return nil, true
	}
	if resp.StatusCode/100 == 4 && c.signer.corrected(f) {
		// The SDK would think that this request was signed by the clock that it has now. SQS has
		// refused it: the SDK may make it.
		return nil, false
	}
	resp.Body = io.NopCloser(again)
	return &outcome{resp: resp, client: c, identity: identity, whole: err == nil && accepted}, false
}
