package sqs

import (
	"bytes"
	"context"
	"fmt"
	"io"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// short makes a receive send a WaitTimeSeconds of zero. The SDK omits a zero, and SQS then
// waits for the queue's own ReceiveMessageWaitTimeSeconds, up to 20 seconds.
func short(o *awssqs.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("sluiceShortPoll", sayZero), middleware.After)
	})
}

func sayZero(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
	refuse := func(err error) (middleware.SerializeOutput, middleware.Metadata, error) {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("request a short poll: %w", err)
	}
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok || req.GetStream() == nil {
		return next.HandleSerialize(ctx, in) // not a request of the SDK
	}
	body, err := io.ReadAll(req.GetStream())
	if err != nil {
		return refuse(err)
	}
	if rest, ok := bytes.CutPrefix(body, []byte("{")); ok && !bytes.Contains(body, []byte(`"WaitTimeSeconds"`)) {
		separator := ","
		if bytes.HasPrefix(rest, []byte("}")) {
			separator = ""
		}
		body = append([]byte(`{"WaitTimeSeconds":0`+separator), rest...)
	}
	if req, err = req.SetStream(bytes.NewReader(body)); err != nil {
		return refuse(err)
	}
	in.Request = req
	return next.HandleSerialize(ctx, in)
}
