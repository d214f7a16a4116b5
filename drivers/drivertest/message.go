package drivertest

import (
	"fmt"
	"strconv"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func numbered(n int) []*handler.Message {
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = text(strconv.Itoa(i))
	}
	return ms
}

func text(body string) *handler.Message { return &handler.Message{Body: []byte(body)} }

func bodies(ds []drivers.Delivery) []string {
	bs := make([]string, len(ds))
	for i, d := range ds {
		bs[i] = string(d.Message.Body)
	}
	return bs
}

func byBody(ds []drivers.Delivery) map[string]drivers.Delivery {
	m := make(map[string]drivers.Delivery, len(ds))
	for _, d := range ds {
		m[string(d.Message.Body)] = d
	}
	return m
}

// name identifies a message in a failure's text.
func name(m *handler.Message) string {
	body := string(m.Body)
	if len(body) > 40 {
		body = body[:40] + "…"
	}
	return fmt.Sprintf("%q (id %s, attempt %d)", body, m.ID, m.Attempt)
}

func names(ds []drivers.Delivery) string {
	if len(ds) == 0 {
		return "no message"
	}
	s := ""
	for i, d := range ds {
		if i > 0 {
			s += ", "
		}
		s += name(d.Message)
	}
	return s
}
