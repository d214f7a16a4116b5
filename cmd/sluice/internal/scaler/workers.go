package scaler

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// scrapeTime bounds a scrape of a worker, and scrapeBytes what it may answer.
	scrapeTime  = 3 * time.Second
	scrapeBytes = 16 << 20
	// mostWorkers is how many workers are scraped: some show what one of them does.
	mostWorkers = 50

	settledName  = "sluice_messages_settled_total"
	queueLabel   = "messaging_destination_name"
	verdictLabel = "sluice_verdict"
	retryVerdict = "retry"
)

// workers scrapes the workers behind a URL: each address that its host has is one, as a
// headless service of Kubernetes has one for each pod.
type workers struct {
	client *http.Client
	lookup func(ctx context.Context, host string) ([]string, error)
}

// handled returns how many messages of the queue each worker has finished. A worker that
// does not answer is left out; if none does, the error is that of one of them.
func (w *workers) handled(ctx context.Context, at, queue string) (map[string]float64, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	addresses, err := w.lookup(ctx, u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	var (
		mu    sync.Mutex
		fault error
		out   = make(map[string]float64)
		group sync.WaitGroup
	)
	for _, address := range addresses[:min(len(addresses), mostWorkers)] {
		group.Go(func() {
			one := *u
			one.Host = address
			if port := u.Port(); port != "" {
				one.Host = net.JoinHostPort(address, port)
			}
			n, err := w.scrape(ctx, one.String(), u.Host, queue)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				fault = fmt.Errorf("workers: %w", err)
				return
			}
			out[one.Host] = n
		})
	}
	group.Wait()
	if len(out) == 0 {
		return nil, fault
	}
	return out, nil
}

// scrape reads the counters of one worker.
func (w *workers) scrape(ctx context.Context, at, host, queue string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, err
	}
	req.Host = host
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answers %s", at, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, scrapeBytes))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", at, err)
	}
	var n float64
	for _, m := range families[settledName].GetMetric() {
		labels := make(map[string]string)
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels[queueLabel] == queue && labels[verdictLabel] != retryVerdict {
			n += m.GetCounter().GetValue()
		}
	}
	return n, nil
}
