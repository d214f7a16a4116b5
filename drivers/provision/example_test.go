package provision_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"time"

	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/provision"
)

// A driver supplies steps and facts. Package admin takes the steps and judges the
// facts; this example does by hand what it does.
func Example() {
	ctx := context.Background()
	var planner provision.Planner = new(mem.Opener)
	queue := &url.URL{Scheme: "mem", Host: "orders"}
	spec := &provision.Spec{
		Name: "orders", VisibilityTimeout: 2 * time.Minute,
		DeadLetter: &provision.DeadLetter{MaxAttempts: 3},
	}
	for range 2 {
		plan, err := planner.Plan(ctx, queue, spec)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(plan.Steps), "steps")
		for _, step := range plan.Steps {
			fmt.Println(step.Kind, step.Resource)
			if err := step.Do(ctx); err != nil {
				log.Fatal(err)
			}
		}
		plan.Close()
	}

	state, err := planner.(provision.Examiner).Examine(ctx, queue)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(state.Lease, state.DeadLetter.Name, state.DeadLetter.MaxAttempts, state.Faults)
	// Output:
	// 2 steps
	// create mem queue orders-dlq
	// create mem queue orders
	// 0 steps
	// 2m0s orders-dlq 3 []
}
