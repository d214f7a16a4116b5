package direct_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/metrics"
	"github.com/aws/smithy-go/middleware"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/internal/direct"
	"github.com/sluice-go/sluice/drivers/sqs/internal/protocol"
)

// A reply is what a server answers: an error if there is one, else a response.
type reply struct {
	status int
	header http.Header
	body   string
	cut    int // how many bytes fewer arrive than the header says
	err    error
}

// A server is an HTTP client that answers requests by itself, and keeps them. Without a reply it
// answers that there is nothing.
type server struct {
	mu      sync.Mutex
	replies []reply
	heads   []*http.Request
	bodies  []string
}

func (s *server) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.heads, s.bodies = append(s.heads, r), append(s.bodies, string(body))
	a := reply{body: "{}"}
	if len(s.replies) > 0 {
		a, s.replies = s.replies[0], s.replies[1:]
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if a.err != nil {
		return nil, a.err
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w := httptest.NewRecorder()
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
	resp := w.Result()
	if a.cut > 0 {
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, int64(len(a.body)-a.cut)), broken{}))
	}
	return resp, nil
}

// broken is the rest of a connection that was lost.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// requests returns the requests since it was called last.
func (s *server) requests() (heads []*http.Request, bodies []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	heads, bodies = s.heads, s.bodies
	s.heads, s.bodies = nil, nil
	return heads, bodies
}

// isSDKs reports whether a request is the SDK's.
func isSDKs(r *http.Request) bool { return r.Header.Get("Amz-Sdk-Request") != "" }

// clients returns the SDK's client for the server, and ours.
func clients(s *server, options ...func(*awssqs.Options)) (theirs *awssqs.Client, ours *direct.Client) {
	c := aws.Config{Region: "eu-central-1", HTTPClient: s, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "token")}
	all := append([]func(*awssqs.Options){direct.Sign}, options...)
	return awssqs.NewFromConfig(c, options...), direct.New(awssqs.NewFromConfig(c, all...))
}

var queue = aws.String("https://sqs.eu-central-1.amazonaws.com/123456789012/orders")

// An api is the part of a client that is tested.
type api interface {
	ReceiveMessage(context.Context, *awssqs.ReceiveMessageInput, ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error)
	SendMessageBatch(context.Context, *awssqs.SendMessageBatchInput, ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error)
	DeleteMessageBatch(context.Context, *awssqs.DeleteMessageBatchInput, ...func(*awssqs.Options)) (*awssqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *awssqs.ChangeMessageVisibilityBatchInput, ...func(*awssqs.Options)) (*awssqs.ChangeMessageVisibilityBatchOutput, error)
}

// operations are calls, each with an answer.
var operations = []struct {
	name, body string
	call       func(ctx context.Context, c api) (any, error)
}{
	{"receive", `{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"b","Attributes":{"ApproximateReceiveCount":"1"}}]}`, func(ctx context.Context, c api) (any, error) {
		out, err := c.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 20}, protocol.Use)
		if err != nil {
			return nil, err
		}
		return out.Messages, nil
	}},
	{"send", `{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"41529eb8037fbbff16c3e3f2d2b0ed4c"}]}`, func(ctx context.Context, c api) (any, error) {
		out, err := c.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: queue,
			Entries: []types.SendMessageBatchRequestEntry{{Id: aws.String("0"), MessageBody: aws.String("<é>")}}}, unchecked, protocol.Use)
		if err != nil {
			return nil, err
		}
		return [2]any{out.Successful, out.Failed}, nil
	}},
	{"delete", `{"Successful":[{"Id":"0"}]}`, func(ctx context.Context, c api) (any, error) {
		out, err := c.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: queue,
			Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String("r")}}}, protocol.Use)
		if err != nil {
			return nil, err
		}
		return [2]any{out.Successful, out.Failed}, nil
	}},
	{"change", `{"Successful":[{"Id":"0"}]}`, func(ctx context.Context, c api) (any, error) {
		out, err := c.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: queue,
			Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String("r"), VisibilityTimeout: 9}}}, protocol.Use)
		if err != nil {
			return nil, err
		}
		return [2]any{out.Successful, out.Failed}, nil
	}},
}

func unchecked(o *awssqs.Options) { o.DisableMessageChecksumValidation = true }

// learn has the client learn the form of requests.
func learn(t *testing.T, s *server, c api) {
	t.Helper()
	_, err := operations[0].call(t.Context(), c)
	require.NoError(t, err)
	heads, _ := s.requests()
	require.Len(t, heads, 1)
	require.True(t, isSDKs(heads[0]), "the first request is the SDK's")
}

func TestRequestsAreThoseOfTheSDK(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // the clock stands, so that signatures are the same
				s := new(server)
				theirs, ours := clients(s)
				learn(t, s, ours)
				s.replies = []reply{{body: op.body}, {body: op.body}}
				got, err := op.call(t.Context(), ours)
				require.NoError(t, err)
				want, err := op.call(t.Context(), theirs)
				require.NoError(t, err)
				require.Equal(t, want, got)
				heads, bodies := s.requests()
				require.Len(t, heads, 2)
				require.False(t, isSDKs(heads[0]))
				require.Equal(t, bodies[1], bodies[0])
				require.Equal(t, heads[1].URL.String(), heads[0].URL.String())
				require.Equal(t, heads[1].Host, heads[0].Host)
				require.Equal(t, heads[1].Method, heads[0].Method)
				require.Equal(t, heads[1].ContentLength, heads[0].ContentLength)
				require.Equal(t, "token", heads[0].Header.Get("X-Amz-Security-Token"))
				// The SDK numbers its tries, and signs the numbers.
				for _, name := range []string{"Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Content-Length"} {
					heads[1].Header.Del(name)
				}
				signature := heads[0].Header.Get("Authorization")
				heads[0].Header.Del("Authorization")
				heads[1].Header.Del("Authorization")
				require.Equal(t, heads[1].Header, heads[0].Header)
				sum := sha256.Sum256([]byte(bodies[0]))
				require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "token"},
					heads[0], hex.EncodeToString(sum[:]), "sqs", "eu-central-1", time.Now()))
				require.Equal(t, heads[0].Header.Get("Authorization"), signature)
			})
		})
	}
}

// Whatever is not an answer has the effect that it has on the SDK's client: the same error or
// answer, after as many requests.
func TestOtherOutcomesAreTheSDKs(t *testing.T) {
	t.Parallel()
	refused := func(status int, code string) reply {
		return reply{status: status, header: http.Header{"X-Amzn-Requestid": {"id"}}, body: `{"__type":"com.amazonaws.sqs#` + code + `","message":"no"}`}
	}
	partly := reply{body: `{"Successful":[],"Failed":[{"Id":"0","Code":"ReceiptHandleIsInvalid","Message":"gone","SenderFault":true}]}`}
	for _, c := range []struct {
		name    string
		replies []reply
	}{
		{"no such queue", []reply{refused(400, "QueueDoesNotExist")}},
		{"denied", []reply{refused(403, "AccessDeniedException")}},
		{"throttled, then answered", []reply{refused(403, "RequestThrottled"), {}}},
		{"throttled twice", []reply{refused(403, "RequestThrottled"), refused(403, "RequestThrottled")}},
		{"fails, then answers", []reply{{status: 500, body: "oops"}, {}}},
		{"fails with an answer's body", []reply{{status: 500, body: "{}"}, {}}},
		{"fails for long", []reply{{status: 503}, {status: 503}, {status: 503}}},
		{"the connection is lost", []reply{{err: io.ErrUnexpectedEOF}, {}}},
		{"no connection", []reply{{err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, {err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}}},
		{"a redirect", []reply{{status: 301, header: http.Header{"Location": {"https://example.com"}}}}},
		{"half an answer", []reply{{body: `{"Messages":[]}`, cut: 4}, {}}},
		{"no JSON", []reply{{body: "<html>"}, {}}},
		{"an unknown field", []reply{{body: `{"Messages":[],"New":{}}`}}},
		{"an entry failed", []reply{partly}},
		{"empty", []reply{{body: " "}}},
	} {
		for _, once := range []bool{false, true} {
			for _, op := range operations {
				t.Run(fmt.Sprint(c.name, "/", once, "/", op.name), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { // the SDK waits before it tries again
						s := new(server)
						theirs, ours := clients(s, func(o *awssqs.Options) {
							if once {
								o.Retryer = aws.NopRetryer{}
							}
						})
						learn(t, s, ours)
						s.replies = slices.Clone(c.replies)
						want, wantErr := op.call(t.Context(), theirs)
						made, _ := s.requests()
						s.replies = slices.Clone(c.replies)
						got, err := op.call(t.Context(), ours)
						heads, bodies := s.requests()
						require.Equal(t, want, got)
						require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
						require.Equal(t, kinds(wantErr), kinds(err))
						require.Len(t, heads, len(made), "requests")
						require.False(t, isSDKs(heads[0]))
						for _, body := range bodies {
							require.Equal(t, bodies[0], body)
						}
					})
				})
			}
		}
	}
}

// kinds returns the types of an error and of those that it wraps.
func kinds(err error) (out []string) {
	for ; err != nil; err = errors.Unwrap(err) {
		out = append(out, fmt.Sprintf("%T", err))
	}
	return out
}

func TestACanceledCall(t *testing.T) {
	t.Parallel()
	s := new(server)
	theirs, ours := clients(s)
	learn(t, s, ours)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, want := operations[2].call(ctx, theirs)
	_, err := operations[2].call(ctx, ours)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, want.Error(), err.Error())
	require.Equal(t, kinds(want), kinds(err))
}

// While a request waits for its answer, the end of its context ends it.
func TestALongPollIsCanceled(t *testing.T) {
	t.Parallel()
	waits := make(chan struct{}, 2)
	poll := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isSDKs(r) {
			_, _ = io.WriteString(w, "{}")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client has gone
		waits <- struct{}{}
		<-r.Context().Done()
	}))
	defer poll.Close()
	_, ours := clients(nil, func(o *awssqs.Options) { o.HTTPClient, o.BaseEndpoint = poll.Client(), &poll.URL })
	_, err := operations[0].call(t.Context(), ours)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := operations[0].call(ctx, ours)
		ended <- err
	}()
	<-waits
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// The form of requests is learned anew after a minute, and when the SDK has made one.
func TestTheFormIsLearnedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		_, ours := clients(s)
		learn(t, s, ours)
		sdks := func() bool {
			_, err := operations[2].call(t.Context(), ours)
			require.NoError(t, err)
			heads, _ := s.requests()
			return isSDKs(heads[0])
		}
		require.False(t, sdks())
		time.Sleep(59 * time.Second) //nolint:forbidigo // moves the bubble's clock
		require.False(t, sdks())
		time.Sleep(2 * time.Second) //nolint:forbidigo // moves the bubble's clock
		require.True(t, sdks())
		require.False(t, sdks())
	})
}

// A server whose clock differs refuses signatures. The SDK corrects its own clock by the answer,
// and the requests that follow are signed by that clock.
func TestAClockThatDiffers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		_, ours := clients(s)
		learn(t, s, ours)
		theirs := time.Now().Add(-time.Hour).UTC()
		s.replies = []reply{{status: 403, header: http.Header{"Date": {theirs.Format(http.TimeFormat)}}, body: `{"__type":"RequestTimeTooSkewed","message":"clock"}`}, {}, {}}
		_, err := operations[2].call(t.Context(), ours)
		require.NoError(t, err)
		_, err = operations[2].call(t.Context(), ours)
		require.NoError(t, err)
		heads, _ := s.requests()
		require.Len(t, heads, 3)
		require.False(t, isSDKs(heads[2]))
		at, err := time.Parse("20060102T150405Z", heads[2].Header.Get("X-Amz-Date"))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(-time.Hour), at, 2*time.Second)
	})
}

// Credentials that their provider has renewed sign the next request.
func TestCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	s := new(server)
	key := "OLD"
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if key == "" {
			return aws.Credentials{}, errors.New("no keys today")
		}
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}, nil
	})
	_, ours := clients(s, func(o *awssqs.Options) { o.Credentials = provider })
	learn(t, s, ours)
	key = "NEW"
	_, err := operations[1].call(t.Context(), ours)
	require.NoError(t, err)
	heads, _ := s.requests()
	require.False(t, isSDKs(heads[0]))
	require.Contains(t, heads[0].Header.Get("Authorization"), "Credential=NEW/")
	key = ""
	_, err = operations[1].call(t.Context(), ours)
	require.ErrorContains(t, err, "get identity: get credentials: no keys today", "the text by which the driver knows it")
	heads, _ = s.requests()
	require.Empty(t, heads)
}

// If something wants to see requests, all are the SDK's.
func TestNothingIsHidden(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(o *awssqs.Options)
	}{
		{"middleware", func(o *awssqs.Options) {
			o.APIOptions = append(o.APIOptions, func(*middleware.Stack) error { return nil })
		}},
		{"an interceptor", func(o *awssqs.Options) { o.Interceptors.AddBeforeTransmit(interceptor{}) }},
		{"a log", func(o *awssqs.Options) { o.ClientLogMode = aws.LogRetries }},
		{"a tracer", func(o *awssqs.Options) { o.TracerProvider = tracer{} }},
		{"a meter", func(o *awssqs.Options) { o.MeterProvider = meter{} }},
		{"a signer", func(o *awssqs.Options) { o.HTTPSignerV4 = v4.NewSigner() }},
		{"a protocol", func(o *awssqs.Options) { o.Protocol = another{o.Protocol} }},
		{"Lambda", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := new(server)
			if c.name == "Lambda" {
				t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
				c.set = func(*awssqs.Options) {}
			}
			_, ours := clients(s, c.set)
			learn(t, s, ours)
			for _, op := range operations {
				s.replies = []reply{{body: op.body}}
				_, err := op.call(t.Context(), ours)
				require.NoError(t, err)
			}
			heads, _ := s.requests()
			require.Len(t, heads, len(operations))
			for _, r := range heads {
				require.True(t, isSDKs(r))
			}
		})
	}
}

type interceptor struct{}

func (interceptor) BeforeTransmit(context.Context, *smithyhttp.InterceptorContext) error { return nil }

type tracer struct{ tracing.NopTracerProvider }

type meter struct{ metrics.NopMeterProvider }

type another struct{ smithyhttp.ClientProtocol }

// Calls without options, and those that the SDK completes by an option, are the SDK's.
func TestOtherCallsAreTheSDKs(t *testing.T) {
	t.Parallel()
	s := new(server)
	_, ours := clients(s)
	learn(t, s, ours)
	_, err := ours.DeleteMessageBatch(t.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: queue, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String("r")}}})
	require.NoError(t, err)
	_, err = ours.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: queue}, protocol.Use)
	require.NoError(t, err)
	_, err = ours.PurgeQueue(t.Context(), &awssqs.PurgeQueueInput{QueueUrl: queue})
	require.NoError(t, err)
	heads, _ := s.requests()
	require.Len(t, heads, 3)
	for _, r := range heads {
		require.True(t, isSDKs(r))
	}
}
