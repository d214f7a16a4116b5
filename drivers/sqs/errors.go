package sqs

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
)

// bare returns an error code without the prefixes and suffixes that protocols and
// servers add, as in com.amazonaws.sqs#QueueDoesNotExist, AWS.SimpleQueueService.OverLimit and
// AccessDeniedException.
func bare(code string) string {
	code = code[strings.LastIndexByte(code, '#')+1:]
	return strings.TrimSuffix(strings.TrimPrefix(code, "AWS.SimpleQueueService."), "Exception")
}

// codeOf maps SQS's error codes, those of whole requests and those of batch
// entries, to the drivers' codes. It returns Unclassified for an unknown one.
func codeOf(code string) drivers.Code {
	switch bare(code) {
	case "QueueDoesNotExist", "NonExistentQueue", "ResourceNotFound":
		return drivers.NotFound
	case "AccessDenied", "AuthFailure", "ExpiredToken", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId",
		"InvalidSecurity", "InvalidSignature", "MissingAuthenticationToken", "NotAuthorized", "OptInRequired",
		"SignatureDoesNotMatch", "UnrecognizedClient",
		"KmsAccessDenied", "KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired",
		"KMS.AccessDenied", "KMS.Disabled", "KMS.InvalidKeyUsage", "KMS.InvalidState", "KMS.NotFound", "KMS.OptInRequired":
		return drivers.Denied
	case "BandwidthLimitExceeded", "KmsThrottled", "KMS.Throttling", "OverLimit", "PurgeQueueInProgress", "RequestLimitExceeded",
		"RequestThrottled", "SlowDown", "Throttled", "Throttling", "TooManyRequests":
		return drivers.Throttled
	case "InvalidIdFormat", "MessageNotInflight", "ReceiptHandleIsInvalid":
		return drivers.LeaseLost
	case "InvalidAction", "NotImplemented", "UnknownOperation", "UnsupportedOperation":
		return drivers.Unsupported
	case "BatchEntryIdsNotDistinct", "BatchRequestTooLong", "EmptyBatchRequest", "InvalidAddress",
		"InvalidAttributeName", "InvalidAttributeValue", "InvalidBatchEntryId", "InvalidMessageContents",
		"InvalidParameterCombination", "InvalidParameterValue", "InvalidQueryParameter", "MalformedQueryString",
		"MissingParameter", "TooManyEntriesInBatchRequest", "ValidationError", "Validation":
		return drivers.Invalid
	case "InternalError", "InternalFailure", "InternalServer", "InternalServerError", "InternalService", "RequestExpired",
		"RequestInTheFuture", "RequestTimeout", "RequestTimeTooSkewed", "ServiceUnavailable", "QueueDeletedRecently":
		return drivers.Transient
	}
	return drivers.Unclassified
}

// classify returns the code of an SQS error, and its remedy if one is known.
func classify(code, message string, serverFault bool, status int) (drivers.Code, string) {
	c := codeOf(code)
	switch {
	case status == http.StatusNotImplemented:
		c = drivers.Unsupported // by a server that is not AWS's
	case c == drivers.Invalid && isReceiptFault(message):
		// SQS reports a receipt that has expired, or whose message is gone, as an
		// invalid parameter value.
		return drivers.LeaseLost, ""
	case c == drivers.Denied && strings.Contains(strings.ToLower(message), "signature") && strings.Contains(message, "expired"):
		return drivers.Transient, "this machine's clock seems wrong"
	case c == drivers.Unclassified && (serverFault || status >= http.StatusInternalServerError):
		c = drivers.Transient
	case c == drivers.Unclassified && status == http.StatusTooManyRequests:
		c = drivers.Throttled
	case c == drivers.Unclassified && (status == http.StatusForbidden || status == http.StatusUnauthorized):
		c = drivers.Denied
	case c == drivers.Unclassified && status >= http.StatusBadRequest:
		c = drivers.Invalid
	case c == drivers.Unclassified:
		c = drivers.Transient
	}
	return c, remedy(c, code)
}

// isReceiptFault reports whether message is SQS's text for a receipt that is no
// longer valid:
// "Value … for parameter ReceiptHandle is invalid. Reason: …".
func isReceiptFault(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "parameter receipthandle is invalid") || strings.Contains(m, "receipt handle has expired") ||
		strings.Contains(m, "not available for visibility timeout change")
}

func remedy(c drivers.Code, code string) string {
	switch c {
	case drivers.NotFound:
		return "check the name, the account and the region, or apply its configuration, which creates it"
	case drivers.Denied:
		if strings.HasPrefix(strings.ToUpper(bare(code)), "KMS") {
			return "grant kms:Decrypt, and kms:GenerateDataKey to senders, on the queue's key, and see that the key is enabled"
		}
		if strings.Contains(code, "AccessDenied") {
			return "grant this identity the permissions that package sqs lists; aws sts get-caller-identity shows the identity"
		}
		return "check the credentials: aws sts get-caller-identity must succeed with the same environment"
	case drivers.Throttled:
		switch bare(code) {
		case "OverLimit":
			return "too many messages are in flight: settle or give back some, or shorten the visibility timeout"
		case "PurgeQueueInProgress":
			return "SQS purges a queue once a minute"
		}
	case drivers.Invalid:
		if bare(code) == "BatchRequestTooLong" {
			return "send fewer messages in one call"
		}
	}
	return ""
}

const remedyExpired = "the credentials have expired or can't be renewed just now; aws sts get-caller-identity must succeed with the same environment"

const remedyRefused = "is the server at the endpoint running? The endpoint is the URL's, or else that of AWS_ENDPOINT_URL_SQS or AWS_ENDPOINT_URL"

// isExpired reports whether err means that credentials have expired or could not be
// renewed. Either is an outage, which ends when their provider issues new ones,
// except when the queue is opened: the credentials have not been valid before. An
// unknown key or signature (InvalidClientTokenId, UnrecognizedClient,
// SignatureDoesNotMatch) is not an outage.
func isExpired(err error) bool {
	// The SDK has no type for the failure of a credentials provider. It may wrap an
	// error of any service, such as AccessDenied from STS or 404 from the machine's
	// metadata, which is unrelated to the queue.
	if text := invoke.Text(err); strings.Contains(text, "get identity: get credentials: ") || strings.Contains(text, "failed to refresh cached credentials") {
		return true
	}
	ae, ok := invoke.As[smithy.APIError](err)
	return ok && expired(ae.ErrorCode())
}

// expired reports whether code is one of SQS's for credentials that were valid.
func expired(code string) bool {
	switch bare(code) {
	case "ExpiredToken", "RequestExpired", "TokenRefreshRequired":
		return true
	}
	return false
}

func classifyError(err error) (drivers.Code, string) {
	status := 0
	if re, ok := invoke.As[*smithyhttp.ResponseError](err); ok && re.Response != nil {
		status = re.HTTPStatusCode()
	}
	if ae, ok := invoke.As[smithy.APIError](err); ok {
		return classify(ae.ErrorCode(), ae.ErrorMessage(), ae.ErrorFault() == smithy.FaultServer, status)
	}
	if status != 0 {
		return classify("", "", false, status)
	}
	if dns, ok := invoke.As[*net.DNSError](err); ok && dns.IsNotFound {
		return drivers.Transient, "check the region and the endpoint: the host " + dns.Name + " is not known"
	}
	if invoke.Is(err, syscall.ECONNREFUSED) { // AWS does not: it is a local server that was named
		return drivers.Transient, remedyRefused
	}
	if invoke.Is(err, context.DeadlineExceeded) {
		return drivers.Transient, "the endpoint did not answer in time"
	}
	return drivers.Transient, ""
}
