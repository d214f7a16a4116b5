package direct

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// An outcome is what a request led to. As an HTTP client it has that outcome for the first
// request, and sends the others. As a provider of credentials it has those that signed the request,
// so that an answer is not lost because they could not be had once more.
type outcome struct {
	resp     *http.Response
	err      error
	client   *Client
	identity aws.Credentials
	whole    bool            // resp is a response of status 2xx that was read to its end
	ctx      context.Context // of the call, if the SDK's does not end
	told     bool
}

// use is an option of the SDK's call.
func (o *outcome) use(options *awssqs.Options) { options.HTTPClient, options.Credentials = o, o }

// Do returns the outcome, or sends r if it has done so.
func (o *outcome) Do(r *http.Request) (*http.Response, error) {
	if o.told {
		if o.ctx != nil {
			r = r.WithContext(o.ctx)
		}
		return o.client.http.Do(r)
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

// Retrieve returns the credentials of the first request, or those of now.
func (o *outcome) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if o.told {
		return o.client.credentials.Retrieve(ctx)
	}
	return o.identity, nil
}

// ProviderSources returns the sources of the credentials, for the header User-Agent.
func (o *outcome) ProviderSources() []aws.CredentialSource {
	if p, ok := o.client.credentials.(aws.CredentialProviderSource); ok {
		return p.ProviderSources()
	}
	return nil
}
