package backoff_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
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
		"canceled":           {context.Canceled, backoff.Transient},
		"os deadline":        {os.ErrDeadlineExceeded, backoff.Transient},
		"refused connection": {noServer, backoff.Transient},
		"DNS":                {&net.DNSError{Err: "no such host", IsNotFound: true}, backoff.Transient},
		"missing file":       {noFile, backoff.Unknown},
		"errno":              {syscall.ECONNRESET, backoff.Unknown},
		"wrong URL":          {wrongURL, backoff.Unknown},
		"panic":              {&handler.PanicError{Value: "x"}, backoff.Unknown},

		"JSON syntax":        {syntaxError(t), backoff.Unknown},
		"JSON type":          {json.Unmarshal([]byte(`"x"`), new(int)), backoff.Unknown},
		"XML":                {xml.Unmarshal([]byte("<a"), new(struct{})), backoff.Unknown},
		"base64":             {badBase64, backoff.Unknown},
		"hex":                {badHex, backoff.Unknown},
		"odd hex":            {oddHex, backoff.Unknown},
		"validation":         {ValidationErrors{"x"}, backoff.Unknown},
		"says retryable":     {retryable(true), backoff.Transient},
		"says not retryable": {retryable(false), backoff.Permanent},

		"HTTP 302":           {statusError(302), backoff.Unknown},
		"HTTP 400":           {statusError(400), backoff.Unknown},
		"HTTP 404":           {statusError(404), backoff.Unknown},
		"HTTP 408":           {statusError(408), backoff.Transient},
		"HTTP 409":           {statusError(409), backoff.Transient},
		"HTTP 422":           {statusError(422), backoff.Unknown},
		"HTTP 425":           {statusError(425), backoff.Transient},
		"HTTP 429":           {statusError(429), backoff.Transient},
		"HTTP 500":           {statusError(500), backoff.Transient},
		"HTTP 503":           {statusError(503), backoff.Transient},
		"Google HTTP API":    {&googleapi.Error{Code: 503}, backoff.Transient},
		"Google HTTP denied": {&googleapi.Error{Code: 403}, backoff.Unknown},

		"AWS throttling":        {awsError("ThrottlingException", smithy.FaultClient, 400), backoff.Transient},
		"AWS validation":        {awsError("ValidationException", smithy.FaultClient, 400), backoff.Unknown},
		"AWS server":            {awsError("WhoKnows", smithy.FaultServer, 500), backoff.Transient},
		"AWS bare throttling":   {&smithy.GenericAPIError{Code: "SlowDown", Fault: smithy.FaultClient}, backoff.Transient},
		"AWS bare client fault": {&smithy.GenericAPIError{Code: "X", Fault: smithy.FaultClient}, backoff.Unknown},
		"AWS bare server fault": {&smithy.GenericAPIError{Code: "X", Fault: smithy.FaultServer}, backoff.Transient},
		"AWS unknown fault":     {&smithy.GenericAPIError{Code: "X"}, backoff.Unknown},
		"AWS canceled":          {&aws.RequestCanceledError{Err: context.Canceled}, backoff.Transient},

		"gocloud not found": {notFound, backoff.Unknown},

		"SQL serialization":   {&pgconn.PgError{Code: "40001"}, backoff.Transient},
		"SQL failover":        {fmt.Errorf("x: %w", &pgconn.PgError{Code: "57P01"}), backoff.Transient},
		"SQL unique":          {&pgconn.PgError{Code: "23505"}, backoff.Unknown},
		"SQL, no state":       {&pgconn.PgError{}, backoff.Unknown},
		"SQL connection done": {sql.ErrConnDone, backoff.Transient},
		"SQL no rows":         {sql.ErrNoRows, backoff.Unknown},
		"unexpected EOF":      {io.ErrUnexpectedEOF, backoff.Transient},

		"nil pointer": {(*quiet)(nil), backoff.Unknown},

		"wrapped":                    {fmt.Errorf("charge: %w", statusError(503)), backoff.Transient},
		"the outermost known counts": {fmt.Errorf("x: %w", &net.OpError{Op: "read", Err: statusError(400)}), backoff.Transient},
		"joined, one transient":      {errors.Join(retryable(false), errBoom, statusError(503)), backoff.Transient},
		"joined, one permanent":      {errors.Join(errBoom, retryable(false)), backoff.Permanent},
		"joined, none known":         {errors.Join(errBoom, errBoom), backoff.Unknown},
		"two verbs":                  {fmt.Errorf("%w: %w", errBoom, retryable(false)), backoff.Permanent},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, tc.err)
			require.Equal(t, tc.want, backoff.Classify(tc.err))
		})
	}
}

func TestClassifyGRPC(t *testing.T) {
	transient := []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unavailable, codes.DataLoss}
	want := map[codes.Code]backoff.Class{99: backoff.Unknown}
	for c := codes.Unknown; c <= codes.Unauthenticated; c++ {
		want[c] = backoff.Unknown
	}
	for _, c := range transient {
		want[c] = backoff.Transient
	}
	for code, class := range want {
		require.Equal(t, class, backoff.Classify(fmt.Errorf("call: %w", status.Error(code, "x"))), code.String())
	}
}

// answers are what a dependency gives while it is down, misconfigured or being
// deployed.
func answers(t *testing.T) map[string]error {
	t.Helper()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>Bad Gateway</html>")
	}))
	defer page.Close()
	resp, err := page.Client().Get(page.URL) //nolint:noctx // of a server in this process
	require.NoError(t, err)
	defer resp.Body.Close()
	var v any
	return map[string]error{
		"a 502 page read as JSON":   json.NewDecoder(resp.Body).Decode(&v),
		"a 502 page read as XML":    xml.Unmarshal([]byte("<html><br></html>"), new(struct{})),
		"an answer cut off":         json.Unmarshal([]byte(`{"a":1,"b"`), &v),
		"a stream cut off":          json.NewDecoder(strings.NewReader(`{"a":1,"b"`)).Decode(&v),
		"an empty answer":           json.Unmarshal(nil, &v),
		"an answer of another type": json.Unmarshal([]byte(`{"error":"busy"}`), new([]int)),
		"HTTP 401":                  statusError(401),
		"HTTP 403":                  statusError(403),
		"HTTP 404":                  statusError(404),
		"AWS AccessDenied":          awsError("AccessDeniedException", smithy.FaultClient, 403),
		"AWS no such table":         awsError("ResourceNotFoundException", smithy.FaultClient, 400),
		"AWS signature":             awsError("InvalidSignatureException", smithy.FaultClient, 403),
		"gRPC Unauthenticated":      status.Error(codes.Unauthenticated, "x"),
		"gRPC PermissionDenied":     status.Error(codes.PermissionDenied, "x"),
		"gRPC Unimplemented":        status.Error(codes.Unimplemented, "x"),
		"Google 403":                &googleapi.Error{Code: 403},
		"a queue that denies":       fmt.Errorf("send: %w", drivers.ErrDenied),
		"a queue that is gone":      &drivers.Error{Code: drivers.NotFound, Err: awsError("QueueDoesNotExist", smithy.FaultClient, 400)},
		"a validation of theirs":    ValidationErrors{"x"},
	}
}

func TestAnAnswerOfADependencyIsNotPermanent(t *testing.T) {
	for name, err := range answers(t) {
		require.Error(t, err, name)
		require.NotEqual(t, backoff.Permanent, backoff.Classify(err), name)
		v := handler.VerdictOf(judge(t.Context(), t, &backoff.Config{MaxAttempts: 2}, attempt(1), fmt.Errorf("charge: %w", err)))
		require.Equal(t, handler.ActionRetry, v.Action, name)
	}
}

func TestTheConfigurationNamesWhatIsPermanent(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	_, notFound := bucket.ReadAll(t.Context(), "no such blob")
	require.NoError(t, bucket.Close())
	c := &backoff.Config{Permanent: []string{"404", "503", "NotFound", "InvalidArgument", "ValidationException", "23505"}}
	for _, tc := range []struct {
		err  error
		want handler.Action
	}{
		{statusError(404), handler.ActionDeadLetter},
		{fmt.Errorf("x: %w", statusError(404)), handler.ActionDeadLetter},
		{statusError(503), handler.ActionDeadLetter},
		{statusError(400), handler.ActionRetry},
		{statusError(500), handler.ActionRetry},
		{&googleapi.Error{Code: 404}, handler.ActionDeadLetter},
		{status.Error(codes.NotFound, "x"), handler.ActionDeadLetter},
		{status.Error(codes.InvalidArgument, "x"), handler.ActionDeadLetter},
		{status.Error(codes.Unauthenticated, "x"), handler.ActionRetry},
		{notFound, handler.ActionDeadLetter},
		{awsError("ValidationException", smithy.FaultClient, 400), handler.ActionDeadLetter},
		{awsError("ThrottlingException", smithy.FaultClient, 404), handler.ActionRetry},
		{awsError("AccessDenied", smithy.FaultClient, 403), handler.ActionRetry},
		{&smithy.GenericAPIError{Code: "ValidationException"}, handler.ActionDeadLetter},
		{&pgconn.PgError{Code: "23505"}, handler.ActionDeadLetter},
		{&pgconn.PgError{Code: "40001"}, handler.ActionRetry},
		{errors.Join(statusError(404), context.DeadlineExceeded), handler.ActionRetry},
	} {
		v := handler.VerdictOf(judge(t.Context(), t, c, attempt(1), tc.err))
		require.Equal(t, tc.want.String(), v.Action.String(), "%v", tc.err)
	}
	_, err := backoff.New(&backoff.Config{Permanent: []string{"404", "", "Not Found"}})
	require.ErrorContains(t, err, `Permanent has ""`)
	require.ErrorContains(t, err, `Permanent has "Not Found"`)
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
