package service

import (
	"cmp"
	"slices"

	"github.com/sluice-go/sluice/consumer"
)

// maxSlowest is how many running handlers a health lists.
const maxSlowest = 10

// worst are the states of a consumer that are those of its service, the worst first. A
// consumer that has stopped while others drain counts as draining.
var worst = []string{consumer.HealthStalled, consumer.HealthOutage, consumer.HealthDraining, consumer.HealthStarting, consumer.HealthOK}

// merge returns the health of consumers together. Without any the service is starting.
func merge(hs []consumer.Health) consumer.Health {
	if len(hs) == 1 {
		return hs[0]
	}
	m := consumer.Health{Status: consumer.HealthStarting}
	if len(hs) == 0 {
		return m
	}
	stopped := 0
	rank := len(worst) - 1
	m.IdleSeconds = hs[0].IdleSeconds
	for _, h := range hs {
		status := h.Status
		if status == consumer.HealthStopped {
			stopped++
			status = consumer.HealthDraining
		}
		rank = min(rank, max(slices.Index(worst, status), 0))
		m.Queues = append(m.Queues, h.Queues...)
		m.IdleSeconds = min(m.IdleSeconds, h.IdleSeconds)
		m.Running += h.Running
		m.Waiting += h.Waiting
		m.Parked += h.Parked
		m.Settling += h.Settling
		m.Slowest = append(m.Slowest, h.Slowest...)
	}
	m.Status = worst[rank]
	if stopped == len(hs) {
		m.Status = consumer.HealthStopped
	}
	slices.SortFunc(m.Slowest, func(a, b consumer.RunningHandler) int { return cmp.Compare(b.Seconds, a.Seconds) })
	m.Slowest = m.Slowest[:min(len(m.Slowest), maxSlowest)]
	return m
}
