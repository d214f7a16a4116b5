package sqstest

import (
	"fmt"
	"net/http"
)

// The codes of SQS's errors, for [Fault].Code: the names of the shapes, which an
// SDK makes its error types from.
const (
	codeAccessDenied                 = "AccessDeniedException"
	codeBatchEntryIdsNotDistinct     = "BatchEntryIdsNotDistinct"
	codeBatchRequestTooLong          = "BatchRequestTooLong"
	codeEmptyBatchRequest            = "EmptyBatchRequest"
	codeInternalFailure              = "InternalFailure"
	codeInvalidAddress               = "InvalidAddress"
	codeInvalidAttributeName         = "InvalidAttributeName"
	codeInvalidAttributeValue        = "InvalidAttributeValue"
	codeInvalidBatchEntryID          = "InvalidBatchEntryId"
	codeInvalidClientTokenID         = "UnrecognizedClientException"
	codeInvalidMessageContents       = "InvalidMessageContents"
	codeInvalidParameterValue        = "InvalidParameterValueException"
	codeInvalidSecurity              = "InvalidSecurity"
	codeKmsAccessDenied              = "KmsAccessDenied"
	codeKmsDisabled                  = "KmsDisabled"
	codeKmsNotFound                  = "KmsNotFound"
	codeKmsThrottled                 = "KmsThrottled"
	codeMessageNotInflight           = "MessageNotInflight"
	codeMissingAuthenticationToken   = "MissingAuthenticationTokenException"
	codeMissingParameter             = "MissingRequiredParameterException"
	codeOverLimit                    = "OverLimit"
	codePurgeQueueInProgress         = "PurgeQueueInProgress"
	codeQueueDeletedRecently         = "QueueDeletedRecently"
	codeQueueDoesNotExist            = "QueueDoesNotExist"
	codeQueueNameExists              = "QueueNameExists"
	codeReceiptHandleIsInvalid       = "ReceiptHandleIsInvalid"
	codeRequestEntityTooLarge        = "RequestEntityTooLargeException"
	codeRequestThrottled             = "RequestThrottled"
	codeResourceNotFound             = "ResourceNotFoundException"
	codeSerialization                = "SerializationException"
	codeServiceUnavailable           = "ServiceUnavailable"
	codeTooManyEntriesInBatchRequest = "TooManyEntriesInBatchRequest"
	codeUnknownOperation             = "UnknownOperationException"
	codeUnsupportedOperation         = "UnsupportedOperation"
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
	case codeAccessDenied:
		return errorShape{unmodelled, "AccessDenied", denied, "Access to the resource is denied."}
	case codeBatchEntryIdsNotDistinct:
		return errorShape{modelled, oldService + code, badStatus, "Two or more batch entries in the request have the same Id."}
	case codeBatchRequestTooLong:
		return errorShape{modelled, oldService + code, badStatus, "The length of all the messages put together is more than the limit."}
	case codeEmptyBatchRequest:
		return errorShape{modelled, oldService + code, badStatus, "There should be at least one entry in the request."}
	case codeInternalFailure:
		return errorShape{unmodelled, "InternalError", http.StatusInternalServerError, "We encountered an internal error. Please try again."}
	case codeInvalidAddress:
		return errorShape{modelled, code, unknown, "The address is not valid for this endpoint."}
	case codeInvalidAttributeName, codeInvalidAttributeValue, codeInvalidMessageContents:
		return errorShape{modelled, code, badStatus, "The request is not valid."}
	case codeInvalidBatchEntryID:
		return errorShape{modelled, oldService + code, badStatus, "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."}
	case codeInvalidClientTokenID:
		return errorShape{unmodelled, "InvalidClientTokenId", denied, "The security token included in the request is invalid."}
	case codeInvalidParameterValue:
		return errorShape{unmodelled, "InvalidParameterValue", badStatus, "A parameter is not valid."}
	case codeInvalidSecurity:
		return errorShape{modelled, code, denied, "The request was not made over HTTPS or did not use SigV4 for signing."}
	case codeKmsAccessDenied:
		return errorShape{modelled, "KMS.AccessDeniedException", badStatus, "The caller doesn't have the required KMS access."}
	case codeKmsDisabled:
		return errorShape{modelled, "KMS.DisabledException", badStatus, "The KMS key is disabled."}
	case codeKmsNotFound:
		return errorShape{modelled, "KMS.NotFoundException", badStatus, "The specified KMS key could not be found."}
	case codeKmsThrottled:
		return errorShape{modelled, "KMS.ThrottlingException", badStatus, "KMS throttles requests for the key."}
	case codeMessageNotInflight:
		return errorShape{modelled, oldService + code, badStatus, "The specified message isn't in flight."}
	case codeMissingAuthenticationToken:
		return errorShape{unmodelled, "MissingAuthenticationToken", denied, "Request is missing Authentication Token"}
	case codeMissingParameter:
		return errorShape{unmodelled, "MissingParameter", badStatus, "The request must contain another parameter."}
	case codeOverLimit:
		return errorShape{modelled, code, denied, "Too many messages in flight."}
	case codePurgeQueueInProgress:
		return errorShape{modelled, oldService + code, denied, "Only one PurgeQueue operation is allowed every 60 seconds."}
	case codeQueueDeletedRecently:
		return errorShape{modelled, oldService + code, badStatus, "You must wait 60 seconds after deleting a queue before you can create another with the same name."}
	case codeQueueDoesNotExist:
		return errorShape{modelled, oldService + "NonExistentQueue", badStatus, "The specified queue does not exist."}
	case codeQueueNameExists:
		return errorShape{modelled, "QueueAlreadyExists", badStatus, "A queue already exists with the same name and other attributes."}
	case codeReceiptHandleIsInvalid:
		return errorShape{modelled, code, unknown, "The input receipt handle is not a valid receipt handle."}
	case codeRequestEntityTooLarge:
		return errorShape{unmodelled, "RequestEntityTooLarge", http.StatusRequestEntityTooLarge, "The request is too large."}
	case codeRequestThrottled:
		return errorShape{modelled, code, denied, "Rate exceeded. Please slow down."}
	case codeResourceNotFound:
		return errorShape{modelled, code, unknown, "The resource doesn't exist."}
	case codeSerialization:
		return errorShape{unmodelled, "MalformedInput", badStatus, "The request could not be read."}
	case codeServiceUnavailable:
		return errorShape{unmodelled, code, broken, "Service is currently unavailable."}
	case codeTooManyEntriesInBatchRequest:
		return errorShape{modelled, oldService + code, badStatus, "Maximum number of entries per request are 10."}
	case codeUnknownOperation:
		return errorShape{unmodelled, "InvalidAction", badStatus, "The action is not known."}
	case codeUnsupportedOperation:
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
	return fault(codeInvalidParameterValue, format, args...)
}

func missing(parameter string) *apiError {
	return fault(codeMissingParameter, "The request must contain the parameter %s.", parameter)
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
