package sqs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// answered is an error as the SDK returns it: an API error in an HTTP answer.
func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "SQS", OperationName: "ReceiveMessage", Err: &awshttp.ResponseError{
		RequestID: "r",
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err,
		},
	}}
}

func api(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }

func TestErrorsAreClassified(t *testing.T) {
	q := &queue{name: "orders"}
	for _, c := range []struct {
		name   string
		err    error
		want   drivers.Code
		remedy string
	}{
		{"typed", answered(400, &types.QueueDoesNotExist{}), drivers.NotFound, "its configuration"},
		{"query-compatible", answered(400, api("AWS.SimpleQueueService.NonExistentQueue", "")), drivers.NotFound, "check the name"},
		{"with a namespace", answered(400, api("com.amazonaws.sqs#QueueDoesNotExist", "")), drivers.NotFound, "check the name"},
		{"access", answered(403, api("AccessDenied", "")), drivers.Denied, "grant this identity"},
		{"access, as an exception", answered(400, api("AccessDeniedException", "")), drivers.Denied, "grant this identity"},
		{"token", answered(403, api("InvalidClientTokenId", "")), drivers.Denied, "get-caller-identity"},
		{"expired token", answered(403, api("ExpiredToken", "")), drivers.Transient, "get-caller-identity"},
		{"expired token, as an exception", answered(400, api("com.amazon.coral.service#ExpiredTokenException", "")), drivers.Transient, "have expired"},
		{"expired request", answered(400, api("RequestExpired", "")), drivers.Transient, "have expired"},
		{"unknown key", answered(403, api("UnrecognizedClientException", "The security token included in the request is invalid.")), drivers.Denied, "get-caller-identity"},
		{"no new credentials, denied by STS", fmt.Errorf("operation error SQS: ReceiveMessage, get identity: get credentials: failed to refresh cached credentials, %w", answered(403, api("AccessDenied", ""))), drivers.Transient, "have expired"},
		{"no new credentials, no metadata", fmt.Errorf("operation error SQS: ReceiveMessage, get identity: get credentials: failed to refresh cached credentials, %w", answered(404, errors.New("no role"))), drivers.Transient, "have expired"},
		{"KMS", answered(400, &types.KmsAccessDenied{}), drivers.Denied, "kms:Decrypt"},
		{"KMS, as AWS writes it", answered(400, api("KMS.DisabledException", "")), drivers.Denied, "kms:Decrypt"},
		{"signature", answered(403, api("SignatureDoesNotMatch", "The request signature we calculated does not match")), drivers.Denied, "get-caller-identity"},
		{"clock", answered(403, api("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than")), drivers.Transient, "clock"},
		{"throttled", answered(400, &types.RequestThrottled{}), drivers.Throttled, ""},
		{"throttling", answered(400, api("ThrottlingException", "")), drivers.Throttled, ""},
		{"in flight", answered(403, &types.OverLimit{}), drivers.Throttled, "in flight"},
		{"KMS throttled", answered(400, &types.KmsThrottled{}), drivers.Throttled, ""},
		{"purge", answered(403, &types.PurgeQueueInProgress{}), drivers.Throttled, "once a minute"},
		{"429 by someone on the way", answered(429, errors.New("<html>")), drivers.Throttled, ""},
		{"receipt", answered(404, &types.ReceiptHandleIsInvalid{}), drivers.LeaseLost, ""},
		{"not in flight", answered(400, &types.MessageNotInflight{}), drivers.LeaseLost, ""},
		{"receipt as a parameter", answered(400, api("InvalidParameterValue", "Value AQEB for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")), drivers.LeaseLost, ""},
		{"parameter", answered(400, api("InvalidParameterValue", "Value 43201 for parameter VisibilityTimeout is invalid.")), drivers.Invalid, ""},
		{"too long", answered(400, &types.BatchRequestTooLong{}), drivers.Invalid, "fewer messages"},
		{"contents", answered(400, &types.InvalidMessageContents{}), drivers.Invalid, ""},
		{"unsupported", answered(400, &types.UnsupportedOperation{}), drivers.Unsupported, ""},
		{"an action that the server does not have", answered(400, api("InvalidAction", "")), drivers.Unsupported, ""},
		{"the same, of another server", answered(400, api("com.amazonaws.sqs#UnknownOperationException", "")), drivers.Unsupported, ""},
		{"the same, by its status", answered(501, api("InternalFailure", "not implemented yet")), drivers.Unsupported, ""},
		{"server", answered(500, api("InternalFailure", "")), drivers.Transient, ""},
		{"unavailable, no code", answered(503, errors.New("<html>")), drivers.Transient, ""},
		{"unknown, the server's fault", answered(200, &smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}), drivers.Transient, ""},
		{"unknown, forbidden", answered(403, api("New", "")), drivers.Denied, "get-caller-identity"},
		{"unknown, ours", answered(400, api("New", "")), drivers.Invalid, ""},
		{"connection", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, drivers.Transient, ""},
		{"connection refused", fmt.Errorf("send: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), drivers.Transient, "AWS_ENDPOINT_URL_SQS"},
		{"host", fmt.Errorf("send: %w", &net.DNSError{Name: "sqs.nowhere.amazonaws.com", IsNotFound: true}), drivers.Transient, "sqs.nowhere.amazonaws.com is not known"},
		{"no answer", fmt.Errorf("send: %w", context.DeadlineExceeded), drivers.Transient, "did not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := q.fail(t.Context(), "receive", c.err)
			require.Equal(t, c.want, drivers.CodeOf(err), "%v", err)
			require.ErrorIs(t, err, c.err)
			require.ErrorContains(t, err, `queue "orders": receive: `+c.want.Error())
			var e *drivers.Error
			require.ErrorAs(t, err, &e)
			if c.remedy == "" {
				require.Empty(t, e.Remedy)
			} else {
				require.Contains(t, e.Remedy, c.remedy)
			}
		})
	}
}

func TestErrorsOfEntriesAreClassified(t *testing.T) {
	q := &queue{name: "orders"}
	for _, c := range []struct {
		code, message string
		senderFault   bool
		want          drivers.Code
	}{
		{"ReceiptHandleIsInvalid", "", true, drivers.LeaseLost},
		{"InvalidParameterValueException", "Value x for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", true, drivers.LeaseLost},
		{"AWS.SimpleQueueService.MessageNotInflight", "", true, drivers.LeaseLost},
		{"InvalidMessageContents", "", true, drivers.Invalid},
		{"InternalError", "", false, drivers.Transient},
		{"New", "", false, drivers.Transient},
		{"KMS.ThrottlingException", "", true, drivers.Throttled},
	} {
		err := q.refused("settle", c.code, c.message, c.senderFault)
		require.Equal(t, c.want, drivers.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, c.code)
	}
}

func TestCallersOwnEndIsNoErrorOfSQS(t *testing.T) {
	q := &queue{name: "orders"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, q.fail(ctx, "receive", fmt.Errorf("canceled, %w", context.Canceled)))
	require.NoError(t, q.fail(ctx, "receive", nil))
}

// Credentials that are bad when a queue is opened have never been good.
func TestExpiredCredentialsAtTheStart(t *testing.T) {
	q := &queue{name: "orders"}
	require.ErrorIs(t, q.fail(t.Context(), "open", answered(403, api("ExpiredToken", ""))), drivers.ErrDenied)
	for _, op := range []string{"receive", "settle", "extend", "send"} {
		require.ErrorIs(t, q.fail(t.Context(), op, answered(403, api("ExpiredToken", ""))), drivers.ErrTransient)
	}
	require.ErrorIs(t, q.refused("settle", "ExpiredToken", "", true), drivers.ErrTransient)
}
