package producertest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/producer/producertest"
)

func ExampleRequireSent() {
	sink := &producertest.Sink{}
	p, err := producer.New(sink, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	// The code under test sends.
	m := &handler.Message{Attributes: map[string]string{"type": "email"}}
	if err := handler.JSON.Encode(m, email{To: "a@example.com"}); err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Send(context.Background(), m); err != nil {
		fmt.Println(err)
		return
	}

	var t testing.TB = &probe{} // in a test, its own
	sent := producertest.RequireSent[email](t, sink)
	fmt.Println(sent.Value.To)
	// Output: a@example.com
}
