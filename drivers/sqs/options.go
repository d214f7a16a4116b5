package sqs

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/drivers/sqs/internal/protocol"
)

// The options of the driver's calls of the SDK.
var (
	receiveOptions   = []func(*awssqs.Options){once, unchecked, protocol.Use}
	shortPollOptions = append(slices.Clip(receiveOptions), short)
	sendOptions      = []func(*awssqs.Options){unchecked, protocol.Use}
	batchOptions     = []func(*awssqs.Options){protocol.Use}
	onceOptions      = []func(*awssqs.Options){once, protocol.Use}
)

// once makes the SDK try a request once. A receive whose answer was lost must not be
// repeated unnoticed: each try leaves messages in flight with nobody.
func once(o *awssqs.Options) { o.Retryer = aws.NopRetryer{} }

// unchecked leaves checksums to the driver: the SDK fails the whole request for one
// damaged message.
func unchecked(o *awssqs.Options) { o.DisableMessageChecksumValidation = true }
