package sqs_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// inFlight is an HTTP client's transport that counts requests in progress.
type inFlight struct {
	mu        sync.Mutex
	now, most int
}

func (f *inFlight) RoundTrip(r *http.Request) (*http.Response, error) {
	f.add(1)
	defer f.add(-1)
	return http.DefaultTransport.RoundTrip(r)
}

func (f *inFlight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += n
	f.most = max(f.most, f.now)
}

// Two hundred queues are planned and examined eight at a time, on a server that takes
// its time, and the missing ones hide none of the others.
func TestAFleetOfQueues(t *testing.T) {
	t.Parallel()
	const queues, bound, delay = 200, 8, 5 * time.Millisecond
	s, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	transport := &inFlight{}
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(s.URL()), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	api := awssqs.NewFromConfig(cfg)
	f := &admin.Fleet{Mux: drivers.NewMux(&sqs.Opener{AWS: &cfg})}
	var names, missing []string
	for i := range queues {
		name := fmt.Sprintf("orders-%03d", i)
		names = append(names, name)
		f.Targets = append(f.Targets, admin.Target{Name: name, URL: "awssqs:///" + name})
		if i%50 == 20 {
			missing = append(missing, name)
			continue
		}
		_, err := api.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name})
		require.NoError(t, err)
	}
	s.Inject(sqstest.Fault{Delay: delay})
	throttled := s.Inject(sqstest.Fault{Action: "GetQueueAttributes", Queue: "orders-007", Code: "RequestThrottled", Times: 2})

	found, err := f.Examine(t.Context())
	require.Equal(t, 2, throttled.Hits())
	require.Equal(t, len(missing), strings.Count(err.Error(), "\n")+1)
	at := 0
	for _, name := range missing {
		next := strings.Index(err.Error(), name)
		require.GreaterOrEqual(t, next, at)
		at = next
	}
	var sick []string
	for _, x := range found {
		if x.ID == "no-dead-letter" {
			sick = append(sick, x.Queue)
		}
	}
	require.Len(t, sick, queues-len(missing))
	require.IsIncreasing(t, sick, "the order is that of the targets")
	require.Equal(t, bound, transport.most)

	transport.most = 0
	var planned []string
	for o := range f.Plan(t.Context()) {
		require.NoError(t, o.Err, "a queue that is missing can be planned")
		planned = append(planned, o.Target.Name)
	}
	require.Equal(t, names, planned)
	require.Equal(t, bound, transport.most)

	for o := range f.Apply(t.Context(), false) {
		require.NoError(t, o.Err)
	}
	for o := range f.Plan(t.Context()) {
		require.NoError(t, o.Err)
		require.Empty(t, o.Changes)
	}
}
