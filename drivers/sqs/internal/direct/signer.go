package direct

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	signature "github.com/sluice-go/sluice/drivers/sqs/internal/signer"
)

// Sign sets the driver's signer in place of the SDK's own. It is an option of a client.
func Sign(o *awssqs.Options) { o.HTTPSignerV4 = &signer{next: signature.New(o.HTTPSignerV4)} }

// A signer signs requests, and learns their form from those of the SDK.
type signer struct {
	next   v4.HTTPSigner
	learns atomic.Bool // a Client uses the form
	form   atomic.Pointer[form]
}

// SignHTTP signs a request of the SDK. See [v4.Signer.SignHTTP].
func (s *signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, payloadHash, service, region string,
	at time.Time, options ...func(*v4.SignerOptions)) error {
	if s.learns.Load() {
		if f := newForm(r, service, region, at, options); f != nil {
			s.form.Store(f)
		}
	}
	return s.next.SignHTTP(ctx, c, r, payloadHash, service, region, at, options...)
}

// fresh is how long a form is used.
const fresh = time.Minute

// A form is what requests have in common. It is not changed once it is made.
type form struct {
	url             url.URL
	host            string
	header          http.Header
	service, region string
	options         []func(*v4.SignerOptions)
	skew            time.Duration // of the server's clock
	learned         time.Time
}

// own are the headers that belong to one request. The SDK numbers its tries in two of them,
// which SQS does not need.
var own = []string{"Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Authorization", "Content-Length", "X-Amz-Date", "X-Amz-Security-Token"}

// newForm returns the form of a request that is about to be signed, or nil if it is not one
// of SQS's in JSON, or is part of a trace.
func newForm(r *http.Request, service, region string, at time.Time, options []func(*v4.SignerOptions)) *form {
	if r.Method != http.MethodPost || r.URL == nil || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/x-amz-json-1.0" ||
		!strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.") || r.Header.Get("X-Amzn-Trace-Id") != "" {
		return nil
	}
	f := &form{url: *r.URL, host: r.Host, header: r.Header.Clone(), service: service, region: region, options: options, learned: time.Now()}
	for _, name := range own {
		f.header.Del(name)
	}
	if f.skew = at.Sub(f.learned); f.skew.Abs() < time.Second {
		f.skew = 0
	}
	return f
}

// corrected reports whether the SDK has corrected its clock since it made f, by so much that SQS
// refuses signatures.
func (s *signer) corrected(f *form) bool {
	return (s.form.Load().skew - f.skew).Abs() >= tolerance
}

// tolerance is the difference of clocks with which SQS accepts signatures, less a minute. The SDK
// has the same.
const tolerance = 4 * time.Minute

// request returns a request in this form, not signed yet. Its header is its own, since HTTP
// clients change them. It has no GetBody, as the SDK's has none: net/http and others would send it
// again, at the address of a redirect too.
func (f *form) request(ctx context.Context, target string, body []byte) *http.Request {
	header := f.header.Clone()
	header["X-Amz-Target"][0] = target
	u := f.url
	return (&http.Request{
		Method: http.MethodPost, URL: &u, Host: f.host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}).WithContext(ctx)
}
