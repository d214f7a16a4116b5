// Package pushtest pushes as the service does: a [Pump] pulls from a subscription
// of a Pub/Sub fake and posts the messages to an endpoint, and an [Issuer] signs
// the tokens that go with them.
package pushtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
)

// emptyPause is how long a pump waits after a pull that brought nothing.
const emptyPause = 10 * time.Millisecond

// A Pump pushes the messages of one subscription to an endpoint, as the service
// does for a push subscription: it acknowledges those that are answered with 102,
// 200, 201, 202 or 204 and gives the others back, waits for an answer as long as
// the ack deadline, and pushes the messages of an ordering key one at a time. Its
// fields must not be changed once Run was called.
type Pump struct {
	// Addr is the address of the fake, as host:port.
	Addr string
	// Subscription is the subscription's full name.
	Subscription string
	// Endpoint is the URL to push to.
	Endpoint string
	// Unwrapped has the messages pushed without an envelope, with their metadata
	// in headers.
	Unwrapped bool
	// Token gives the bearer token of each request. Nil pushes without.
	Token func() (string, error)
	// Concurrency is how many pushes are on their way at the same time. Zero means 8.
	Concurrency int

	mu       sync.Mutex
	statuses map[int]int
}

// Statuses is how often each status was answered; 0 stands for no answer.
func (p *Pump) Statuses() map[int]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.statuses)
}

// Drain runs the pump until the fake has no message of the subscription left, or
// ctx is done, which is an error.
func (p *Pump) Drain(ctx context.Context, fake *pubsubtest.Server) error {
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(run) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return errors.Join(err, ctx.Err())
		case <-tick.C:
			if d, err := fake.Depth(p.Subscription); err == nil && d.Visible+d.InFlight == 0 {
				stop()
				return <-ended
			}
		}
	}
}

// Run pushes until ctx is done, and returns when all pushes have been answered.
// It returns the error with which the fake refused a pull.
func (p *Pump) Run(ctx context.Context) error {
	conn, err := grpc.NewClient("passthrough:///"+p.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	r := &run{pump: p, sub: pubsubpb.NewSubscriberClient(conn), client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		// A redirection is not an acknowledgement, whatever it leads to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	defer r.client.CloseIdleConnections()
	s, err := r.sub.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: p.Subscription})
	if err != nil {
		return ended(ctx, err)
	}
	r.deadline = time.Duration(max(s.AckDeadlineSeconds, 1)) * time.Second
	most := p.Concurrency
	if most == 0 {
		most = 8
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, most)
	for {
		select {
		case slots <- struct{}{}:
			<-slots
		case <-ctx.Done():
			return nil
		}
		resp, err := r.sub.Pull(ctx, &pubsubpb.PullRequest{Subscription: p.Subscription, MaxMessages: int32(most - len(slots)), ReturnImmediately: true}) //nolint:staticcheck // to ask once
		if err != nil {
			return ended(ctx, err)
		}
		for _, ms := range byKey(resp.ReceivedMessages) {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				r.inOrder(ctx, ms)
			})
		}
		if len(resp.ReceivedMessages) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(emptyPause):
			}
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was stopped
	}
	return err
}

// byKey parts messages by ordering key; those without one are on their own.
func byKey(ms []*pubsubpb.ReceivedMessage) [][]*pubsubpb.ReceivedMessage {
	var out [][]*pubsubpb.ReceivedMessage
	at := make(map[string]int)
	for _, m := range ms {
		key := m.GetMessage().GetOrderingKey()
		if i, ok := at[key]; ok && key != "" {
			out[i] = append(out[i], m)
			continue
		}
		at[key] = len(out)
		out = append(out, []*pubsubpb.ReceivedMessage{m})
	}
	return out
}

type run struct {
	pump     *Pump
	sub      pubsubpb.SubscriberClient
	client   *http.Client
	deadline time.Duration
}

// inOrder pushes messages of one key; behind one that fails, the others go back.
func (r *run) inOrder(ctx context.Context, ms []*pubsubpb.ReceivedMessage) {
	// Pulled messages are settled even if the pump is stopped meanwhile.
	ctx = context.WithoutCancel(ctx)
	ok := true
	for _, m := range ms {
		if ok {
			status := r.push(ctx, m)
			r.pump.count(status)
			switch status {
			case http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
			default:
				ok = false
			}
		}
		// One that fails is as one that comes late: the message is delivered again.
		if ok {
			_, _ = r.sub.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: r.pump.Subscription, AckIds: []string{m.AckId}})
		} else {
			_, _ = r.sub.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: r.pump.Subscription, AckIds: []string{m.AckId}})
		}
	}
}

func (p *Pump) count(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statuses == nil {
		p.statuses = make(map[int]int)
	}
	p.statuses[status]++
}

// push posts one message and returns the status, or 0 if there was no answer.
func (r *run) push(ctx context.Context, m *pubsubpb.ReceivedMessage) int {
	ctx, cancel := context.WithTimeout(ctx, r.deadline)
	defer cancel()
	request := Wrapped
	if r.pump.Unwrapped {
		request = Unwrapped
	}
	req, err := request(ctx, r.pump.Endpoint, r.pump.Subscription, m)
	if err == nil && r.pump.Token != nil {
		var token string
		token, err = r.pump.Token()
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	if err != nil {
		return 0
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0
	}
	return resp.StatusCode
}

// Wrapped makes the request of a wrapped push, with both spellings of names that
// the service writes.
func Wrapped(ctx context.Context, url, subscription string, m *pubsubpb.ReceivedMessage) (*http.Request, error) {
	pm := m.GetMessage()
	at := pm.GetPublishTime().AsTime().Format(time.RFC3339Nano)
	message := map[string]any{"messageId": pm.GetMessageId(), "message_id": pm.GetMessageId(), "publishTime": at, "publish_time": at}
	if len(pm.GetData()) > 0 {
		message["data"] = pm.GetData()
	}
	if len(pm.GetAttributes()) > 0 {
		message["attributes"] = pm.GetAttributes()
	}
	if pm.GetOrderingKey() != "" {
		message["orderingKey"] = pm.GetOrderingKey()
	}
	envelope := map[string]any{"message": message, "subscription": subscription}
	if m.GetDeliveryAttempt() > 0 {
		envelope["deliveryAttempt"] = m.GetDeliveryAttempt()
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		return nil, fmt.Errorf("push %s: %w", pm.GetMessageId(), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
	return req, nil
}

// Unwrapped makes the request of a push without an envelope, with its metadata in
// headers.
func Unwrapped(ctx context.Context, url, subscription string, m *pubsubpb.ReceivedMessage) (*http.Request, error) {
	pm := m.GetMessage()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(pm.GetData()))
	if err != nil {
		return nil, err
	}
	for k, v := range pm.GetAttributes() {
		req.Header.Set(k, v)
	}
	req.Header.Set("User-Agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
	req.Header.Set("x-goog-pubsub-subscription-name", subscription)
	req.Header.Set("x-goog-pubsub-message-id", pm.GetMessageId())
	req.Header.Set("x-goog-pubsub-publish-time", pm.GetPublishTime().AsTime().Format(time.RFC3339Nano))
	if pm.GetOrderingKey() != "" {
		req.Header.Set("x-goog-pubsub-ordering-key", pm.GetOrderingKey())
	}
	return req, nil // the service has no header for the attempt

}
