package sqstest

import (
	"fmt"
	"net/http"
)

// The codes of SQS's errors, for [Fault].Code: the names of the shapes, which an
// SDK makes its error types from.
const (
	CodeAccessDenied                 = "AccessDeniedException"
	CodeBatchEntryIdsNotDistinct     = "BatchEntryIdsNotDistinct"
	CodeBatchRequestTooLong          = "BatchRequestTooLong"
	CodeEmptyBatchRequest            = "EmptyBatchRequest"
	CodeInternalFailure              = "InternalFailure"
	CodeInvalidAddress               = "InvalidAddress"
	CodeInvalidAttributeName         = "InvalidAttributeName"
	CodeInvalidAttributeValue        = "InvalidAttributeValue"
	CodeInvalidBatchEntryID          = "InvalidBatchEntryId"
	CodeInvalidClientTokenID         = "UnrecognizedClientException"
	CodeInvalidMessageContents       = "InvalidMessageContents"
	CodeInvalidParameterValue        = "InvalidParameterValueException"
	CodeInvalidSecurity              = "InvalidSecurity"
	CodeKmsAccessDenied              = "KmsAccessDenied"
	CodeKmsDisabled                  = "KmsDisabled"
	CodeKmsNotFound                  = "KmsNotFound"
	CodeKmsThrottled                 = "KmsThrottled"
	CodeMessageNotInflight           = "MessageNotInflight"
	CodeMissingAuthenticationToken   = "MissingAuthenticationTokenException"
	CodeMissingParameter             = "MissingRequiredParameterException"
	CodeOverLimit                    = "OverLimit"
	CodePurgeQueueInProgress         = "PurgeQueueInProgress"
	CodeQueueDeletedRecently         = "QueueDeletedRecently"
	CodeQueueDoesNotExist            = "QueueDoesNotExist"
	CodeQueueNameExists              = "QueueNameExists"
	CodeReceiptHandleIsInvalid       = "ReceiptHandleIsInvalid"
	CodeRequestEntityTooLarge        = "RequestEntityTooLargeException"
	CodeRequestThrottled             = "RequestThrottled"
	CodeResourceNotFound             = "ResourceNotFoundException"
	CodeSerialization                = "SerializationException"
	CodeServiceUnavailable           = "ServiceUnavailable"
	CodeTooManyEntriesInBatchRequest = "TooManyEntriesInBatchRequest"
	CodeUnknownOperation             = "UnknownOperationException"
	CodeUnsupportedOperation         = "UnsupportedOperation"
)

const (
	modelled   = "com.amazonaws.sqs#"          // errors of SQS's own model
	unmodelled = "com.amazon.coral.service#"   // those of the framework beneath it
	oldService = "AWS.SimpleQueueService."     // prefix of codes in the older query protocol
	badStatus  = http.StatusBadRequest         // what most errors have
	denied     = http.StatusForbidden          // what a few have
	unknown    = http.StatusNotFound           // what fewer have
	broken     = http.StatusServiceUnavailable // and the server's own
)

// errorShape is how an error looks on the wire: the namespace of its type, the
// code of the older query protocol, which goes into the x-amzn-query-error
// header and which SDKs and boto3 report, the HTTP status, and the text
// if nothing better is known.
type errorShape struct {
	namespace string
	queryCode string
	status    int
	message   string
}

// shapeOf is a function rather than a table, so that nothing of it can be
// changed.
func shapeOf(code string) errorShape {
	switch code {
	case CodeAccessDenied:
		return errorShape{unmodelled, "AccessDenied", denied, "Access to the resource is denied."}
	case CodeBatchEntryIdsNotDistinct:
		return errorShape{modelled, oldService + code, badStatus, "Two or more batch entries in the request have the same Id."}
	case CodeBatchRequestTooLong:
		return errorShape{modelled, oldService + code, badStatus, "The length of all the messages put together is more than the limit."}
	case CodeEmptyBatchRequest:
		return errorShape{modelled, oldService + code, badStatus, "There should be at least one entry in the request."}
	case CodeInternalFailure:
		return errorShape{unmodelled, "InternalError", http.StatusInternalServerError, "We encountered an internal error. Please try again."}
	case CodeInvalidAddress:
		return errorShape{modelled, code, unknown, "The address is not valid for this endpoint."}
	case CodeInvalidAttributeName, CodeInvalidAttributeValue, CodeInvalidMessageContents:
		return errorShape{modelled, code, badStatus, "The request is not valid."}
	case CodeInvalidBatchEntryID:
		return errorShape{modelled, oldService + code, badStatus, "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."}
	case CodeInvalidClientTokenID:
		return errorShape{unmodelled, "InvalidClientTokenId", denied, "The security token included in the request is invalid."}
	case CodeInvalidParameterValue:
		return errorShape{unmodelled, "InvalidParameterValue", badStatus, "A parameter is not valid."}
	case CodeInvalidSecurity:
		return errorShape{modelled, code, denied, "The request was not made over HTTPS or did not use SigV4 for signing."}
	case CodeKmsAccessDenied:
		return errorShape{modelled, "KMS.AccessDeniedException", badStatus, "The caller doesn't have the required KMS access."}
	case CodeKmsDisabled:
		return errorShape{modelled, "KMS.DisabledException", badStatus, "The KMS key is disabled."}
	case CodeKmsNotFound:
		return errorShape{modelled, "KMS.NotFoundException", badStatus, "The specified KMS key could not be found."}
	case CodeKmsThrottled:
		return errorShape{modelled, "KMS.ThrottlingException", badStatus, "KMS throttles requests for the key."}
	case CodeMessageNotInflight:
		return errorShape{modelled, oldService + code, badStatus, "The specified message isn't in flight."}
	case CodeMissingAuthenticationToken:
		return errorShape{unmodelled, "MissingAuthenticationToken", denied, "Request is missing Authentication Token"}
	case CodeMissingParameter:
		return errorShape{unmodelled, "MissingParameter", badStatus, "The request must contain another parameter."}
	case CodeOverLimit:
		return errorShape{modelled, code, denied, "Too many messages in flight."}
	case CodePurgeQueueInProgress:
		return errorShape{modelled, oldService + code, denied, "Only one PurgeQueue operation is allowed every 60 seconds."}
	case CodeQueueDeletedRecently:
		return errorShape{modelled, oldService + code, badStatus, "You must wait 60 seconds after deleting a queue before you can create another with the same name."}
	case CodeQueueDoesNotExist:
		return errorShape{modelled, oldService + "NonExistentQueue", badStatus, "The specified queue does not exist."}
	case CodeQueueNameExists:
		return errorShape{modelled, "QueueAlreadyExists", badStatus, "A queue already exists with the same name and other attributes."}
	case CodeReceiptHandleIsInvalid:
		return errorShape{modelled, code, unknown, "The input receipt handle is not a valid receipt handle."}
	case CodeRequestEntityTooLarge:
		return errorShape{unmodelled, "RequestEntityTooLarge", http.StatusRequestEntityTooLarge, "The request is too large."}
	case CodeRequestThrottled:
		return errorShape{modelled, code, denied, "Rate exceeded. Please slow down."}
	case CodeResourceNotFound:
		return errorShape{modelled, code, unknown, "The resource doesn't exist."}
	case CodeSerialization:
		return errorShape{unmodelled, "MalformedInput", badStatus, "The request could not be read."}
	case CodeServiceUnavailable:
		return errorShape{unmodelled, code, broken, "Service is currently unavailable."}
	case CodeTooManyEntriesInBatchRequest:
		return errorShape{modelled, oldService + code, badStatus, "Maximum number of entries per request are 10."}
	case CodeUnknownOperation:
		return errorShape{unmodelled, "InvalidAction", badStatus, "The action is not known."}
	case CodeUnsupportedOperation:
		return errorShape{modelled, oldService + code, badStatus, "The operation is not supported."}
	}
	return errorShape{unmodelled, code, badStatus, "The request failed: " + code + "."}
}

// An apiError is an error answer to a client.
type apiError struct {
	code    string // one of the Code constants, or any other that a Fault names
	message string
	status  int // 0: the one of the code
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func fault(code, format string, args ...any) *apiError {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

// plain is an error with the text that its code has.
func plain(code string) *apiError {
	return &apiError{code: code, message: shapeOf(code).message}
}

func invalidParameter(format string, args ...any) *apiError {
	return fault(CodeInvalidParameterValue, format, args...)
}

func missing(parameter string) *apiError {
	return fault(CodeMissingParameter, "The request must contain the parameter %s.", parameter)
}

// wrongForType is what a FIFO parameter on a standard queue gets, and the other
// way round.
func wrongForType(value any, parameter string) *apiError {
	return invalidParameter("Value %v for parameter %s is invalid. Reason: The request include parameter that is not valid for this queue type.", value, parameter)
}

func (e *apiError) httpStatus() int {
	if e.status != 0 {
		return e.status
	}
	return shapeOf(e.code).status
}

func (e *apiError) sender() bool { return e.httpStatus() < http.StatusInternalServerError }

// queryError is the x-amzn-query-error header.
func (e *apiError) queryError() string {
	if e.sender() {
		return shapeOf(e.code).queryCode + ";Sender"
	}
	return shapeOf(e.code).queryCode + ";Receiver"
}

func (e *apiError) write(w *writer) {
	w.open('{')
	w.member("__type", shapeOf(e.code).namespace+e.code)
	w.member("message", e.message)
	w.close('}')
}

// writeEntry writes it as an entry of a batch's Failed.
func (e *apiError) writeEntry(w *writer, id string) {
	w.open('{')
	w.member("Id", id)
	w.memberBool("SenderFault", e.sender())
	w.member("Code", shapeOf(e.code).queryCode)
	w.member("Message", e.message)
	w.close('}')
}
