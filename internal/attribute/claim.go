package attribute

// The attributes by which the Amazon SQS Extended Client, and package claimcheck,
// mark a message whose body is a pointer to the real one. Their value is its size.
const (
	ClaimSize       = "ExtendedPayloadSize"
	LegacyClaimSize = "SQSLargePayloadSize"
)

// IsClaimSize reports whether name is one of [ClaimSize] and [LegacyClaimSize].
func IsClaimSize(name string) bool { return name == ClaimSize || name == LegacyClaimSize }
