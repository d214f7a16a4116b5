package sqs

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
)

const (
	// ageTime bounds a request to CloudWatch about an age. A network may have a way to
	// SQS alone, and then the counts must not wait for it.
	ageTime = 2 * time.Second
	// ageEvery is how long an age is good for, as CloudWatch has one a minute, and
	// ageQuiet how long CloudWatch is not asked after a failure.
	ageEvery = metricPeriod * time.Second
	ageQuiet = 5 * time.Minute
)

// ages reads from CloudWatch how old the oldest messages of queues are: SQS reports it to
// nobody else. A source and that of its dead letters share one. A nil ages knows none. Its
// methods may be called concurrently; one request is made at a time.
type ages struct {
	opener *Opener
	target *target

	mu      sync.Mutex
	ask     askAge // nil until it is needed
	release func()
	quiet   time.Time // until when CloudWatch is not asked
	known   map[string]knownAge
}

// askAge is oldestAge with its client. A field that has the client itself would make the
// linker keep all its methods, 1 MB, in programs with gRPC: see docs/adr/0015.
type askAge func(ctx context.Context, queue string) (time.Duration, bool, error)

// knownAge is what CloudWatch has said of a queue.
type knownAge struct {
	age time.Duration // negative if it has said nothing
	at  time.Time
}

// newAges returns the ages of queues in the target's account and region. The first call of
// oldest makes CloudWatch's client: a program that asks for no ages doesn't link it.
func newAges(o *Opener, t *target) *ages {
	return &ages{opener: o, target: t, known: make(map[string]knownAge)}
}

func (a *ages) open(ctx context.Context) (ask askAge, release func(), err error) {
	release = func() {}
	client, err := cloudWatch(ctx, a.opener, a.target, func(co *cloudwatch.Options) {
		co.Retryer = aws.NopRetryer{} // the next reading is the retry
		switch b := co.HTTPClient.(type) {
		case nil:
			c := HTTPClient()
			co.HTTPClient, release = c, c.CloseIdleConnections
		case *awshttp.BuildableClient: // with the certificates of the environment
			c := tuned(b)
			co.HTTPClient, release = c, c.CloseIdleConnections
		}
	})
	return func(ctx context.Context, queue string) (time.Duration, bool, error) {
		return oldestAge(ctx, client, queue)
	}, release, err
}

// oldest returns the age of the queue's oldest message, negative if it is unknown: without
// CloudWatch, without the permission cloudwatch:GetMetricStatistics, or if SQS has not
// reported one.
func (a *ages) oldest(ctx context.Context, queue string) time.Duration {
	if a == nil {
		return -1
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if k, ok := a.known[queue]; ok && now.Sub(k.at) < ageEvery {
		return k.age
	}
	if now.Before(a.quiet) {
		return -1
	}
	ctx, cancel := context.WithTimeout(ctx, ageTime)
	defer cancel()
	if a.ask == nil {
		ask, release, err := a.open(ctx)
		if err != nil {
			a.quiet = now.Add(ageQuiet)
			return -1
		}
		a.ask, a.release = ask, release
	}
	age, ok, err := a.ask(ctx, queue)
	if err != nil {
		a.quiet = now.Add(ageQuiet)
		return -1
	}
	if !ok {
		age = -1
	}
	a.known[queue] = knownAge{age, now}
	return age
}

// close frees the connections.
func (a *ages) close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.release != nil {
		a.release()
	}
}
