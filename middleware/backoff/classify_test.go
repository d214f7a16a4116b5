package backoff_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

var errBoom = errors.New("boom")

// ValidationErrors stands for the types of that name in validation libraries.
type ValidationErrors []string

func (ValidationErrors) Error() string { return "field Cents is below zero" }

type statusError int

func (e statusError) Error() string   { return http.StatusText(int(e)) }
func (e statusError) StatusCode() int { return int(e) }

// quiet is an error even as a nil pointer.
type quiet struct{ Code int }

func (*quiet) Error() string { return "quiet" }

type retryable bool

func (retryable) Error() string     { return "says so itself" }
func (r retryable) Retryable() bool { return bool(r) }

// awsError is an error as an AWS client returns it.
func awsError(code string, fault smithy.ErrorFault, httpStatus int) error {
	return &smithy.OperationError{
		ServiceID: "SQS", OperationName: "SendMessage",
		Err: &awshttp.ResponseError{
			RequestID: "r",
			ResponseError: &smithyhttp.ResponseError{
				Response: &smithyhttp.Response{Response: &http.Response{StatusCode: httpStatus}},
				Err:      &smithy.GenericAPIError{Code: code, Fault: fault},
			},
		},
	}
}

func syntaxError(t *testing.T) error {
	t.Helper()
	err := json.Unmarshal([]byte("<html>"), new(any))
	require.Error(t, err)
	return err
}

func TestClassify(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	_, notFound := bucket.ReadAll(t.Context(), "no such blob")
	require.NoError(t, bucket.Close())
	_, noServer := net.Dial("tcp", "127.0.0.1:1")
	_, noFile := os.Open("/no/such/file")
	_, wrongURL := http.Get("no-such-scheme://x") //nolint:noctx,bodyclose // it fails before any request
	_, badBase64 := base64.StdEncoding.DecodeString("%")
	_, badHex := hex.DecodeString("zz")
	_, oddHex := hex.DecodeString("abc")

	for name, tc := range map[string]struct {
		err  error
		want backoff.Class
	}{
		"no idea":            {errBoom, backoff.Unknown},
		"deadline":           {context.DeadlineExceeded, backoff.Transient},
		"cancelled":          {context.Canceled, backoff.Transient},
		"os deadline":        {os.ErrDeadlineExceeded, backoff.Transient},
		"refused connection": {noServer, backoff.Transient},
		"DNS":                {&net.DNSError{Err: "no such host", IsNotFound: true}, backoff.Transient},
		"missing file":       {noFile, backoff.Unknown},
		"errno":              {syscall.ECONNRESET, backoff.Unknown},
		"wrong URL":          {wrongURL, backoff.Unknown},
		"panic":              {&handler.PanicError{Value: "x"}, backoff.Unknown},

		"JSON syntax":        {syntaxError(t), backoff.Permanent},
		"JSON type":          {json.Unmarshal([]byte(`"x"`), new(int)), backoff.Permanent},
		"XML":                {xml.Unmarshal([]byte("<a"), new(struct{})), backoff.Permanent},
		"base64":             {badBase64, backoff.Permanent},
		"hex":                {badHex, backoff.Permanent},
		"odd hex":            {oddHex, backoff.Permanent},
		"validation":         {ValidationErrors{"x"}, backoff.Permanent},
		"says retryable":     {retryable(true), backoff.Transient},
		"says not retryable": {retryable(false), backoff.Permanent},

		"HTTP 302":           {statusError(302), backoff.Unknown},
		"HTTP 400":           {statusError(400), backoff.Permanent},
		"HTTP 404":           {statusError(404), backoff.Permanent},
		"HTTP 408":           {statusError(408), backoff.Transient},
		"HTTP 409":           {statusError(409), backoff.Transient},
		"HTTP 422":           {statusError(422), backoff.Permanent},
		"HTTP 425":           {statusError(425), backoff.Transient},
		"HTTP 429":           {statusError(429), backoff.Transient},
		"HTTP 500":           {statusError(500), backoff.Transient},
		"HTTP 503":           {statusError(503), backoff.Transient},
		"Google HTTP API":    {&googleapi.Error{Code: 503}, backoff.Transient},
		"Google HTTP denied": {&googleapi.Error{Code: 403}, backoff.Permanent},

		"AWS throttling":        {awsError("ThrottlingException", smithy.FaultClient, 400), backoff.Transient},
		"AWS validation":        {awsError("ValidationException", smithy.FaultClient, 400), backoff.Permanent},
		"AWS server":            {awsError("WhoKnows", smithy.FaultServer, 500), backoff.Transient},
		"AWS bare throttling":   {&smithy.GenericAPIError{Code: "SlowDown", Fault: smithy.FaultClient}, backoff.Transient},
		"AWS bare client fault": {&smithy.GenericAPIError{Code: "X", Fault: smithy.FaultClient}, backoff.Permanent},
		"AWS bare server fault": {&smithy.GenericAPIError{Code: "X", Fault: smithy.FaultServer}, backoff.Transient},
		"AWS unknown fault":     {&smithy.GenericAPIError{Code: "X"}, backoff.Unknown},
		"AWS cancelled":         {&aws.RequestCanceledError{Err: context.Canceled}, backoff.Transient},

		"gocloud not found": {notFound, backoff.Permanent},

		"nil pointer": {(*quiet)(nil), backoff.Unknown},

		"wrapped":                    {fmt.Errorf("charge: %w", statusError(503)), backoff.Transient},
		"the outermost known counts": {fmt.Errorf("x: %w", &net.OpError{Op: "read", Err: statusError(400)}), backoff.Transient},
		"joined, one transient":      {errors.Join(statusError(400), errBoom, statusError(503)), backoff.Transient},
		"joined, one permanent":      {errors.Join(errBoom, statusError(400)), backoff.Permanent},
		"joined, none known":         {errors.Join(errBoom, errBoom), backoff.Unknown},
		"two verbs":                  {fmt.Errorf("%w: %w", errBoom, syntaxError(t)), backoff.Permanent},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, tc.err)
			require.Equal(t, tc.want, backoff.Classify(tc.err))
		})
	}
}

func TestClassifyGRPC(t *testing.T) {
	transient := []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unavailable, codes.DataLoss}
	permanent := []codes.Code{codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.OutOfRange, codes.Unimplemented, codes.Unauthenticated}
	want := map[codes.Code]backoff.Class{codes.Unknown: backoff.Unknown, codes.FailedPrecondition: backoff.Unknown, 99: backoff.Unknown}
	for _, c := range transient {
		want[c] = backoff.Transient
	}
	for _, c := range permanent {
		want[c] = backoff.Permanent
	}
	for code, class := range want {
		require.Equal(t, class, backoff.Classify(fmt.Errorf("call: %w", status.Error(code, "x"))), code.String())
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, err := range map[string]error{
		"unknown": fmt.Errorf("x: %w", errBoom),
		"grpc":    status.Error(codes.Unavailable, "x"),
		"aws":     awsError("ThrottlingException", smithy.FaultClient, 400),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				backoff.Classify(err)
			}
		})
	}
}
