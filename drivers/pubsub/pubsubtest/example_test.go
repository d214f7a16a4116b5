package pubsubtest_test

import (
	"context"
	"fmt"
	"log"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
)

// A test starts a server, talks to it with Google's client, and makes it fail.
func Example() {
	ctx := context.Background()
	srv, err := pubsubtest.Start("")
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	orders := pubsubtest.Queue{Project: "shop", ID: "orders"}
	if err := srv.Create(ctx, orders); err != nil {
		log.Fatal(err)
	}
	client, err := pubsub.NewSubscriptionAdminClient(ctx,
		option.WithEndpoint(srv.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	srv.SetFault(func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method == "GetSubscription" {
			return nil, status.Error(codes.PermissionDenied, "not today")
		}
		return next()
	})
	get := &pubsubpb.GetSubscriptionRequest{Subscription: orders.Subscription()}
	_, err = client.GetSubscription(ctx, get)
	fmt.Println(status.Code(err))

	srv.SetFault(nil)
	sub, err := client.GetSubscription(ctx, get)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sub.GetTopic())
	fmt.Println("calls:", srv.Calls("GetSubscription"))
	// Output:
	// PermissionDenied
	// projects/shop/topics/orders
	// calls: 2
}
