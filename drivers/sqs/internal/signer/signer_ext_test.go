package signer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/internal/signer"
)

const payload = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func request() *http.Request {
	return &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "sqs.us-east-1.amazonaws.com", Path: "/"}, ContentLength: 321,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"AmazonSQS.ReceiveMessage"}, "X-Amzn-Query-Mode": {"true"},
			"Amz-Sdk-Invocation-Id": {"1f6c9f0e-7f3a-4f43-9c68-5ef0d3a1b2c4"}, "Amz-Sdk-Request": {"attempt=1; max=2"}, "User-Agent": {"aws-sdk-go-v2"},
			"X-Amzn-Trace-Id": {"Root=1"}}}
}

// counting counts the requests that are left to the SDK's signer.
type counting struct {
	next *v4.Signer
	n    int
}

func (c *counting) SignHTTP(ctx context.Context, cr aws.Credentials, r *http.Request, hash, service, region string, at time.Time, o ...func(*v4.SignerOptions)) error {
	c.n++
	return c.next.SignHTTP(ctx, cr, r, hash, service, region, at, o...)
}

// TestSignsAsTheSDK signs requests with one signer, so that it keeps a key.
func TestSignsAsTheSDK(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(r *http.Request, cr *aws.Credentials)
		region string
		at     time.Time
		left   bool // to the SDK's signer
	}{
		{name: "of SQS"},
		{name: "again"},
		{name: "next second", at: noon.Add(time.Second)},
		{name: "next day", at: noon.Add(12 * time.Hour)},
		{name: "in another zone", at: noon.In(time.FixedZone("east", 13*3600))},
		{name: "another region", region: "eu-central-1"},
		{name: "another key", change: func(_ *http.Request, cr *aws.Credentials) { cr.AccessKeyID = "AKIDOTHER" }},
		{name: "another secret of the key", change: func(_ *http.Request, cr *aws.Credentials) { cr.AccessKeyID, cr.SecretAccessKey = "AKIDOTHER", "other" }},
		{name: "no credentials", change: func(_ *http.Request, cr *aws.Credentials) { *cr = aws.Credentials{} }},
		{name: "token", change: func(_ *http.Request, cr *aws.Credentials) { cr.SessionToken = "token/+=" }},
		{name: "signed before", change: func(r *http.Request, cr *aws.Credentials) {
			cr.SessionToken = "new"
			r.Header["Authorization"], r.Header["X-Amz-Date"], r.Header["X-Amz-Security-Token"] = []string{"old"}, []string{"old", "older"}, []string{"old"}
		}},
		{name: "local", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Scheme, r.URL.Host = "http", "127.0.0.1:4566" }},
		{name: "host", change: func(r *http.Request, _ *aws.Credentials) { r.Host = "proxy.example" }},
		{name: "path", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Path = "/queue/us-east-1/a_b-c.d~e/" }},
		{name: "same raw path", change: func(r *http.Request, _ *aws.Credentials) { r.URL.RawPath = "/" }},
		{name: "no body", change: func(r *http.Request, _ *aws.Credentials) { r.ContentLength = 0 }},
		{name: "unknown length", change: func(r *http.Request, _ *aws.Credentials) { r.ContentLength = -1 }},
		{name: "more headers", change: func(r *http.Request, _ *aws.Credentials) {
			r.Header["X-Mine"], r.Header["lower"], r.Header["A"], r.Header["Expect"], r.Header["Empty"] = []string{"a b"}, []string{"c"}, []string{"d"}, []string{"100"}, []string{""}
		}},
		{name: "default port", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Host += ":443" }, left: true},
		{name: "escaped path", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Path = "/a b" }, left: true},
		{name: "raw path", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" }, left: true},
		{name: "no path", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Path = "" }, left: true},
		{name: "query", change: func(r *http.Request, _ *aws.Credentials) { r.URL.RawQuery = "b=1&a=2" }, left: true},
		{name: "opaque", change: func(r *http.Request, _ *aws.Credentials) { r.URL.Opaque = "//host/path" }, left: true},
		{name: "two values", change: func(r *http.Request, _ *aws.Credentials) { r.Header["X-Two"] = []string{"a", "b"} }, left: true},
		{name: "no value", change: func(r *http.Request, _ *aws.Credentials) { r.Header["X-None"] = nil }, left: true},
		{name: "a length", change: func(r *http.Request, _ *aws.Credentials) { r.Header["Content-Length"] = []string{"1"} }, left: true},
		{name: "spaces", change: func(r *http.Request, _ *aws.Credentials) { r.Header["X-Spaces"] = []string{" a  b "} }, left: true},
		{name: "trailing space", change: func(r *http.Request, _ *aws.Credentials) { r.Header["X-Spaces"] = []string{"a "} }, left: true},
		{name: "tab", change: func(r *http.Request, _ *aws.Credentials) { r.Header["X-Spaces"] = []string{"a\t"} }, left: true},
		{name: "not ASCII", change: func(r *http.Request, _ *aws.Credentials) { r.Header["X-É"] = []string{"é"} }, left: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			theirs := v4.NewSigner()
			left := &counting{next: theirs}
			ours := signer.New(left)
			cr := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
			require.NoError(t, ours.SignHTTP(t.Context(), cr, request(), payload, "sqs", "us-east-1", noon)) // which it keeps the key of
			want, got := request(), request()
			if c.change != nil {
				c.change(want, &cr)
				c.change(got, &cr)
			}
			region, at := "us-east-1", noon
			if c.region != "" {
				region = c.region
			}
			if !c.at.IsZero() {
				at = c.at
			}
			for range 2 {
				require.NoError(t, theirs.SignHTTP(t.Context(), cr, want, payload, "sqs", region, at))
				require.NoError(t, ours.SignHTTP(t.Context(), cr, got, payload, "sqs", region, at))
				require.Equal(t, want, got)
			}
			require.NotEmpty(t, got.Header.Get("Authorization"))
			require.Equal(t, c.left, left.n > 0)
		})
	}
}

// TestOptions leaves to the SDK's signer what it does with its options.
func TestOptions(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]func(*v4.SignerOptions){
		"no token": func(o *v4.SignerOptions) { o.DisableSessionToken = true },
		"logged":   func(o *v4.SignerOptions) { o.LogSigning = true },
	} {
		t.Run(name, func(t *testing.T) {
			left := &counting{next: v4.NewSigner()}
			r := request()
			err := signer.New(left).SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b", SessionToken: "c"}, r, payload, "sqs", "us-east-1", noon, option)
			require.NoError(t, err)
			require.Equal(t, 1, left.n)
			require.Equal(t, name == "no token", r.Header.Get("X-Amz-Security-Token") == "")
		})
	}
}

// TestConcurrently signs for two regions and credentials at the same time.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	ours := signer.New(v4.NewSigner())
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			theirs := v4.NewSigner() // it would keep the key of a key ID whose secret has changed
			cr := aws.Credentials{AccessKeyID: fmt.Sprint("AKID", n%2), SecretAccessKey: fmt.Sprint("secret", n%4)}
			for i := range 200 {
				at := noon.Add(time.Duration(i) * time.Hour)
				want, got := request(), request()
				if err := theirs.SignHTTP(t.Context(), cr, want, payload, "sqs", "us-east-1", at); err != nil {
					t.Error(err)
				}
				if err := ours.SignHTTP(t.Context(), cr, got, payload, "sqs", "us-east-1", at); err != nil {
					t.Error(err)
				}
				if want.Header.Get("Authorization") != got.Header.Get("Authorization") {
					t.Errorf("%v: %v", want.Header, got.Header)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzSign(f *testing.F) {
	f.Add("/", "sqs.us-east-1.amazonaws.com", "X-Mine", "value", "token")
	f.Add("/a b", "host:80", "content-type", " a  b", "")
	f.Fuzz(func(t *testing.T, path, host, name, value, token string) {
		for other := range request().Header {
			if name != other && strings.EqualFold(name, other) {
				return // the SDK takes the values in the order of a map
			}
		}
		want, got := request(), request()
		for _, r := range []*http.Request{want, got} {
			r.URL.Path, r.URL.Host = path, host
			r.Header[name] = []string{value}
		}
		cr := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: token}
		require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), cr, want, payload, "sqs", "us-east-1", noon))
		require.NoError(t, signer.New(v4.NewSigner()).SignHTTP(t.Context(), cr, got, payload, "sqs", "us-east-1", noon))
		require.Equal(t, want, got)
	})
}

func BenchmarkSign(b *testing.B) {
	cr := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	for name, s := range map[string]v4.HTTPSigner{"sdk": v4.NewSigner(), "sluice": signer.New(v4.NewSigner())} {
		b.Run(name, func(b *testing.B) {
			r := request()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.SignHTTP(b.Context(), cr, r, payload, "sqs", "us-east-1", noon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A recorder is an HTTP client that keeps the request.
type recorder struct{ request *http.Request }

func (r *recorder) Do(q *http.Request) (*http.Response, error) {
	r.request = q
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

// TestSignsRequestsOfTheSDK fails if the signer leaves the requests of a client to the
// SDK's.
func TestSignsRequestsOfTheSDK(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "http://127.0.0.1:9324", "https://sqs.eu-central-1.amazonaws.com"} {
		left, sent := &counting{next: v4.NewSigner()}, &recorder{}
		api := awssqs.New(awssqs.Options{Region: "eu-central-1", HTTPClient: sent, HTTPSignerV4: signer.New(left),
			Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "token")}, func(o *awssqs.Options) {
			if endpoint != "" {
				o.BaseEndpoint = &endpoint
			}
		})
		_, err := api.PurgeQueue(t.Context(), &awssqs.PurgeQueueInput{QueueUrl: aws.String("https://sqs.eu-central-1.amazonaws.com/0/q")})
		require.NoError(t, err)
		require.Zero(t, left.n, "%v %v", sent.request.URL, sent.request.Header)
		require.Contains(t, sent.request.Header.Get("Authorization"), "Credential=AKID/")
	}
}
