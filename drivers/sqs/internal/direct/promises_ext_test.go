package direct_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

// A doer is an HTTP client.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(body))}
}

// An HTTP client of the user's own repeats a request whose body it can get again: at the address of a
// redirect, on HTTP/2, or in a transport that tries again. Those of the SDK's requests it can't.
func TestRequestsAreNotRepeatedElsewhere(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		_, _ = io.WriteString(w, "{}")
	}))
	defer other.Close()
	var moved atomic.Bool
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if moved.Load() {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer first.Close()
	theirs, ours := clients(nil, func(o *awssqs.Options) {
		o.HTTPClient, o.BaseEndpoint, o.Retryer = &http.Client{}, &first.URL, aws.NopRetryer{}
	})
	_, err := operations[0].call(t.Context(), ours)
	require.NoError(t, err)
	moved.Store(true)
	for _, op := range operations {
		_, want := op.call(t.Context(), theirs)
		require.Error(t, want)
		_, err := op.call(t.Context(), ours)
		require.Error(t, err)
		require.Equal(t, kinds(want), kinds(err))
	}
	require.Zero(t, elsewhere.Load(), "requests with a session token at another host")
}

// A transport must not change a request, but many do, and with the SDK it has no effect on others.
func TestAChangedHeaderIsOneRequests(t *testing.T) {
	t.Parallel()
	s := new(server)
	_, ours := clients(s, func(o *awssqs.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			resp, err := s.Do(r)
			for _, values := range r.Header {
				for i := range values {
					values[i] += " changed"
				}
			}
			return resp, err
		})
	})
	for range 3 {
		_, err := operations[2].call(t.Context(), ours)
		require.NoError(t, err)
		heads, _ := s.requests()
		for name, values := range heads[0].Header {
			for _, v := range values {
				require.NotContains(t, v, " changed changed", name)
			}
		}
	}
}

// For a client that returns nothing the SDK has an error.
func TestNoResponse(t *testing.T) {
	t.Parallel()
	s := new(server)
	var nothing atomic.Bool
	theirs, ours := clients(s, func(o *awssqs.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			if nothing.Load() {
				return nil, nil
			}
			return s.Do(r)
		})
	})
	learn(t, s, ours)
	nothing.Store(true)
	_, want := operations[2].call(t.Context(), theirs)
	_, err := operations[2].call(t.Context(), ours)
	require.Equal(t, want.Error(), err.Error())
}

const partly = `{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"41529eb8037fbbff16c3e3f2d2b0ed4c"}],` +
	`"Failed":[{"Id":"1","Code":"InternalError","SenderFault":false}]}`

// An ending is a body that cancels a context when all was read.
type ending struct {
	io.Reader
	end func()
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if err == io.EOF {
		e.end()
	}
	return n, err
}

// An answer that has arrived is not lost if the call's context ends while it is handed to the SDK. Its
// messages have been sent.
func TestAnAnswerIsNotLostToTheContext(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"theirs", "ours"} {
		ctx, cancel := context.WithCancel(t.Context())
		s := new(server)
		var last atomic.Bool
		theirs, ours := clients(s, func(o *awssqs.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				if !last.Load() {
					return s.Do(r)
				}
				resp := response(200, partly)
				resp.Body = io.NopCloser(&ending{resp.Body, cancel})
				return resp, nil
			})
		})
		learn(t, s, ours)
		last.Store(true)
		c := api(theirs)
		if name == "ours" {
			c = ours
		}
		_, err := operations[1].call(ctx, c)
		require.NoError(t, err, name)
		require.Error(t, ctx.Err())
	}
}

// Nor if the credentials cannot be had twice for one request.
func TestAnAnswerIsNotLostToCredentials(t *testing.T) {
	t.Parallel()
	s := new(server)
	var calls, most atomic.Int32
	most.Store(1)
	_, ours := clients(s, func(o *awssqs.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if calls.Add(1) > most.Load() {
				return aws.Credentials{}, errors.New("no keys")
			}
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
		})
	})
	learn(t, s, ours)
	most.Store(calls.Load() + 1)
	s.replies = []reply{{body: partly}}
	_, err := operations[1].call(t.Context(), ours)
	require.NoError(t, err)
}

// A request that was signed before the SDK has corrected its clock is signed anew, as the SDK does.
func TestAClockCorrectedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		var direct atomic.Int32
		var skewed atomic.Bool
		corrected := make(chan struct{})
		_, ours := clients(s, func(o *awssqs.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil {
					return nil, err
				}
				now := time.Now()
				if skewed.Load() {
					now = now.Add(-time.Hour)
				}
				if direct.Add(1) == 2 {
					<-corrected
				}
				resp := response(200, "{}")
				if now.Sub(at).Abs() > 5*time.Minute {
					resp = response(403, `{"__type":"SignatureDoesNotMatch","message":"Signature not yet current"}`)
				}
				resp.Header.Set("Date", now.UTC().Format(http.TimeFormat))
				return resp, nil
			})
		})
		_, err := operations[0].call(t.Context(), ours)
		require.NoError(t, err)
		skewed.Store(true)
		ended := make(chan error)
		go func() {
			_, err := operations[2].call(t.Context(), ours)
			ended <- err
		}()
		synctest.Wait()
		_, err = operations[2].call(t.Context(), ours)
		require.NoError(t, err)
		close(corrected)
		require.NoError(t, <-ended)
	})
}

type nobody struct{}

func (nobody) GetIdentity(context.Context, smithy.Properties) (smithyauth.Identity, error) {
	return nil, errors.New("revoked")
}

type schemes struct{ awssqs.AuthSchemeResolver }

type endpoints struct{ n atomic.Int32 }

func (e *endpoints) ResolveEndpoint(ctx context.Context, p awssqs.EndpointParameters) (smithyendpoints.Endpoint, error) {
	e.n.Add(1)
	return awssqs.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, p)
}

// A user's own resolver or scheme is asked for each request.
func TestDecisionsAreMadeForEachRequest(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	for name, set := range map[string]func(o *awssqs.Options){
		"a scheme": func(o *awssqs.Options) {
			own := awssqs.New(awssqs.Options{HTTPSignerV4: o.HTTPSignerV4, Credentials: o.Credentials}).Options().AuthSchemes[0]
			o.AuthSchemes = []smithyhttp.AuthScheme{revocable{own, &revoked}}
		},
		"schemes":    func(o *awssqs.Options) { o.AuthSchemeResolver = schemes{o.AuthSchemeResolver} },
		"endpoints":  func(o *awssqs.Options) { o.EndpointResolverV2 = new(endpoints) },
		"a resolver": func(o *awssqs.Options) { o.EndpointResolver = awssqs.EndpointResolverFromURL("https://example.com") }, //nolint:staticcheck // users may still have one
	} {
		s := new(server)
		_, ours := clients(s, set)
		learn(t, s, ours)
		_, err := operations[2].call(t.Context(), ours)
		require.NoError(t, err)
		heads, _ := s.requests()
		require.True(t, isSDKs(heads[0]), name)
		if name == "a scheme" {
			revoked.Store(true)
			_, err := operations[2].call(t.Context(), ours)
			require.ErrorContains(t, err, "revoked")
		}
	}
}

type revocable struct {
	smithyhttp.AuthScheme
	revoked *atomic.Bool
}

func (r revocable) IdentityResolver(o smithyauth.IdentityResolverOptions) smithyauth.IdentityResolver {
	if r.revoked.Load() {
		return nobody{}
	}
	return r.AuthScheme.IdentityResolver(o)
}
