package direct

import (
	"bytes"
	"io"
	"net/http"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// An outcome is what a request led to. As an HTTP client it has that outcome for the first
// request, and sends the others.
type outcome struct {
	resp *http.Response
	err  error
	next awssqs.HTTPClient
	told bool
}

// use is an option of the SDK's call.
func (o *outcome) use(options *awssqs.Options) {
	o.next = options.HTTPClient
	options.HTTPClient = o
}

// Do returns the outcome, or sends r if it has done so.
func (o *outcome) Do(r *http.Request) (*http.Response, error) {
	if o.told {
		return o.next.Do(r)
	}
	o.told = true
	if r.Body != nil {
		_ = r.Body.Close() // as a transport does; it is in memory
	}
	if o.resp != nil {
		o.resp.Request = r
	}
	return o.resp, o.err
}

// A rest is a body that was read, with the error that ended the reading.
type rest struct {
	bytes *bytes.Reader
	err   error
}

func (r *rest) Read(b []byte) (int, error) {
	n, err := r.bytes.Read(b)
	if err == io.EOF && r.err != nil {
		err = r.err
	}
	return n, err
}
