package envelope_test

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/codec/envelope"
	"github.com/sluice-go/sluice/handler"
)

func Example() {
	sns, err := envelope.SNS("arn:aws:sns:eu-west-1:123456789012:photos")
	if err != nil {
		fmt.Println(err)
		return
	}
	h := handler.Chain(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		objects, err := envelope.ParseObjects(m, envelope.ObjectCreated)
		for _, o := range objects {
			fmt.Println(o.Kind, o.Bucket, o.Key)
		}
		return err
	}), sns)
	fmt.Println(h.Handle(context.Background(), &handler.Message{Body: []byte(`{
		"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:photos",
		"Message": "{\"Records\":[{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"photos\"},\"object\":{\"key\":\"a+b.jpg\"}}}]}"}`)}))
	// Output:
	// created photos a b.jpg
	// <nil>
}
