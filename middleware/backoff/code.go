package backoff

// The numbers below are parts of the wire formats and published interfaces of
// their makers and do not change. What is in no table is unknown.

// grpcClasses are those of google.golang.org/grpc/codes.
var grpcClasses = map[uint64]Class{
	1:  Transient, // Canceled
	3:  Permanent, // InvalidArgument
	4:  Transient, // DeadlineExceeded
	5:  Permanent, // NotFound
	6:  Permanent, // AlreadyExists
	7:  Permanent, // PermissionDenied
	8:  Transient, // ResourceExhausted
	10: Transient, // Aborted
	11: Permanent, // OutOfRange
	12: Permanent, // Unimplemented
	13: Transient, // Internal
	14: Transient, // Unavailable
	15: Transient, // DataLoss
	16: Permanent, // Unauthenticated
}

// gocloudClasses are those of gocloud.dev/gcerrors.
var gocloudClasses = map[int64]Class{
	2:  Permanent, // NotFound
	3:  Permanent, // AlreadyExists
	4:  Permanent, // InvalidArgument
	5:  Transient, // Internal
	6:  Permanent, // Unimplemented
	8:  Permanent, // PermissionDenied
	9:  Transient, // ResourceExhausted
	10: Transient, // Canceled
	11: Transient, // DeadlineExceeded
}

// smithyClasses are those of github.com/aws/smithy-go's ErrorFault.
var smithyClasses = map[int64]Class{
	1: Transient, // FaultServer
	2: Permanent, // FaultClient
}

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
