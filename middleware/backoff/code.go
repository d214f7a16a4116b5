package backoff

// The numbers below are parts of the wire formats and published interfaces of
// their makers and do not change. A code that is in no table is unknown.

// grpcNames are those of google.golang.org/grpc/codes.
var grpcNames = map[uint64]string{
	1: "Canceled", 2: "Unknown", 3: "InvalidArgument", 4: "DeadlineExceeded", 5: "NotFound", 6: "AlreadyExists",
	7: "PermissionDenied", 8: "ResourceExhausted", 9: "FailedPrecondition", 10: "Aborted", 11: "OutOfRange",
	12: "Unimplemented", 13: "Internal", 14: "Unavailable", 15: "DataLoss", 16: "Unauthenticated",
}

// gocloudNames are those of gocloud.dev/gcerrors.
var gocloudNames = map[uint64]string{
	1: "Unknown", 2: "NotFound", 3: "AlreadyExists", 4: "InvalidArgument", 5: "Internal", 6: "Unimplemented",
	7: "FailedPrecondition", 8: "PermissionDenied", 9: "ResourceExhausted", 10: "Canceled", 11: "DeadlineExceeded",
}

// transientNames are those of the two above that another attempt may mend.
// FailedPrecondition is not known: docstore uses it for a write conflict.
var transientNames = map[string]bool{
	"Canceled": true, "DeadlineExceeded": true, "ResourceExhausted": true, "Aborted": true,
	"Internal": true, "Unavailable": true, "DataLoss": true,
}

// transientSQL are the classes of SQLSTATEs that another attempt may mend.
var transientSQL = map[string]bool{"08": true, "40": true, "53": true, "57": true, "58": true}

// smithyServer is FaultServer of github.com/aws/smithy-go's ErrorFault.
const smithyServer = 1

// awsTransient are the codes of AWS errors that another attempt may mend though
// many of them come with HTTP status 400: those that the SDK's own retryer
// takes for throttling and timeouts, and the ends of credentials.
var awsTransient = map[string]bool{
	"BandwidthLimitExceeded":                 true,
	"EC2ThrottledException":                  true,
	"ExpiredToken":                           true,
	"ExpiredTokenException":                  true,
	"InternalError":                          true,
	"InternalFailure":                        true,
	"InternalServerError":                    true,
	"KMS.ThrottlingException":                true,
	"KmsThrottled":                           true,
	"LimitExceededException":                 true,
	"OverLimit":                              true,
	"PriorRequestNotComplete":                true,
	"ProvisionedThroughputExceededException": true,
	"ReplicatedWriteConflictException":       true,
	"RequestExpired":                         true,
	"RequestLimitExceeded":                   true,
	"RequestThrottled":                       true,
	"RequestThrottledException":              true,
	"RequestTimeTooSkewed":                   true,
	"RequestTimeout":                         true,
	"RequestTimeoutException":                true,
	"ServiceUnavailable":                     true,
	"SlowDown":                               true,
	"ThrottledException":                     true,
	"Throttling":                             true,
	"ThrottlingException":                    true,
	"TooManyRequestsException":               true,
	"TransactionCanceledException":           true,
	"TransactionConflictException":           true,
	"TransactionInProgressException":         true,
}
