package main

// A mutant is a fault that was mended, put back.
type mutant struct {
	point string // of the promises; see docs/seams.md
	fault string
	file  string
	// old stands in the file once, and new takes its place.
	old, new string
	// pkg has the test that must fail.
	pkg, test string
	args      []string
}

const seams = "./internal/test/seams"

// bySeams has the suite itself catch a mutant, on a queue.
func bySeams(point, fault, file, old, new, queue string) mutant {
	return mutant{point, fault, file, old, new, seams, "^TestSeams$", []string{"-seams.queue=" + queue, "-seams.fixed=200", "-seams.duration=30s", "-seams.first"}}
}

func by(point, fault, file, old, new, pkg, test string) mutant {
	return mutant{point: point, fault: fault, file: file, old: old, new: new, pkg: pkg, test: "^" + test + "$"}
}

var mutants = []mutant{
	// Attempts are spent by handling.
	bySeams("1.1", "the failed head of a group is given back, with its tail",
		"consumer/settler.go", "(v.Postponed || d.group != nil) && s.c.parking.parkRerun(d, v, now)", "v.Postponed && s.c.parking.parkRerun(d, v, now)", "sqsfifo"),
	by("1.1", "the tail goes back with a poison head",
		"consumer/settler.go", "(v.Postponed || d.group != nil) && s.c.parking.parkRerun(d, v, now)", "v.Postponed && s.c.parking.parkRerun(d, v, now)",
		"./consumer", "TestAFailedHeadIsRetriedInPlace"),
	bySeams("1.2", "a postponed message is given back",
		"consumer/settler.go", "(v.Postponed || d.group != nil) && s.c.parking.parkRerun(d, v, now)", "d.group != nil && !v.Postponed && s.c.parking.parkRerun(d, v, now)", "sqs"),
	bySeams("1.2", "the embedded queue counts a release",
		"drivers/internal/embedded/source.go", "Release: t.Released}", "Release: false}", "mem"),
	by("1.2", "the same",
		"drivers/internal/embedded/source.go", "Release: t.Released}", "Release: false}", "./drivers/mem", "TestConformance"),
	bySeams("1.2", "messages that wait for a store that is down are retried",
		"middleware/idempotency/idempotency.go", "return handler.Postpone(wait, g.gate.Err())", "return handler.RetryAfter(wait, g.gate.Err())", "mem"),
	bySeams("1.2", "a postponed message runs again with the lease of the run before",
		"consumer/delivery.go", "m.Bind(d.source.origin, (*handlerLease)(next))", "m.Bind(d.source.origin, (*handlerLease)(d))", "mem"),
	by("1.2", "a stop gives back what is in hand",
		"consumer/drain.go", "r.wait(by, c.aborted, func() bool { return c.hand.running+c.hand.unstarted() == 0 })", "r.nackUnstarted(time.Now())",
		"./consumer", "TestRestartsSpendNoAttempts"),
	bySeams("1.3", "the last attempt's failure is left to the queue",
		"consumer/workers.go", "v := verdict.Of(err, d.attempt, limit, deadLetter)", "_ = limit; v := verdict.Of(err, d.attempt, 0, deadLetter)", "sqs"),
	by("1.3", "the same",
		"consumer/workers.go", "v := verdict.Of(err, d.attempt, limit, deadLetter)", "_ = limit; v := verdict.Of(err, d.attempt, 0, deadLetter)",
		"./consumer", "TestTheLastAttemptsFailureIsARejectionWithItsReason"),
	by("1.4", "a worker on a dead-letter queue counts on",
		"drivers/sqs/decoder.go", "m.Attempt = d.attempt(from)", "m.Attempt = decoder{&queue{}}.attempt(from)", "./drivers/sqs", "TestAWorkerOnADeadLetterQueueBeginsAtOne"),
	by("1.3", "an abandoned Lambda attempt has no reason",
		"consumer/sqslambda/invocation.go", "v := verdict.Of(errAbandoned, it.attempt, f.caps.MaxAttempts, f.caps.DeadLetter)", "v := verdict.Of(errAbandoned, it.attempt, 0, f.caps.DeadLetter)",
		"./consumer/sqslambda", "TestAnAbandonedLastAttemptHasItsReason"),
	by("1.3", "the push endpoint runs no last-attempt rule",
		"consumer/pubsubpush/settle.go", "e.cfg.Subscription.Capabilities().MaxAttempts, e.deadLetterCapable())", "0, e.deadLetterCapable())",
		"./consumer/pubsubpush", "TestTheLastAttempt"),

	// Identity.
	by("2", "the producer gives no identity",
		"producer/entry.go", "e.msg.DedupeID = identity.New()", "_ = identity.New",
		"./producer", "TestEveryTryOfAMessageHasItsIdentity"),
	bySeams("2", "the same", "producer/entry.go", "e.msg.DedupeID = identity.New()", "_ = identity.New", "sqs"),
	by("2", "the dedupe ID is no attribute",
		"drivers/sqs/encoder.go", "	if carried {\n", "	if carried && !c.fifo {\n", "./drivers/sqs", "TestWhatAFIFOQueueDeduplicatesBy"),
	by("2", "a redrive is a duplicate, and lost",
		"drivers/internal/embedded/redrive.go", "sink.redrive = true", "sink.redrive = false", "./drivers/mem", "TestConformance"),
	bySeams("2", "the same", "drivers/internal/embedded/redrive.go", "sink.redrive = true", "sink.redrive = false", "mem"),

	// Order.
	by("3.1", "each try has an identity of its own",
		"producer/entry.go", "e.msg.DedupeID = identity.New()", "_ = identity.New",
		"./drivers/sqs", "TestLostAnswersDoubleNothingOnAFIFOQueue"),
	by("3.2", "several messages of a group are in one request",
		"producer/dispatcher.go", "single: caps.MaxSendGroup == 1", "single: false",
		"./producer", "TestOneMessageOfAGroupIsUnconfirmedAtATime"),
	bySeams("3.3", "the next of a group starts before the ack is taken",
		"consumer/settler.go", "d.verdict = settlement{action: v.Action}\n		o.group = groupWaits", "d.verdict = settlement{action: v.Action}\n		o.group = groupAdvances", "mem"),
	by("3.3", "the same",
		"consumer/settler.go", "d.verdict = settlement{action: v.Action}\n		o.group = groupWaits", "d.verdict = settlement{action: v.Action}\n		o.group = groupAdvances",
		"./consumer", "TestTheNextStartsWhenTheAckWasTaken"),
	bySeams("3.4", "a settlement is not bounded by its lease",
		"consumer/settler.go", "min(st.requestTimeout(), left))", "max(st.requestTimeout(), min(left, 1)))", "sqs"),
	by("3.4", "the same",
		"consumer/settler.go", "min(st.requestTimeout(), left))", "max(st.requestTimeout(), min(left, 1)))",
		"./consumer", "TestASlowVerdictEndsWithItsLease"),
	by("3.4", "a retry of unknown outcome is repeated whoever has the message",
		"consumer/settler.go", "if s.caps.StaleReceiptActs && v.action", "if s.caps.StaleReceiptActs && v.tries < 0 && v.action",
		"./drivers/sqs", "TestAReleaseWhoseAnswerWasLostIsNotRepeated"),
	by("3.4", "a verdict is carried out after the queue has said that the lease is lost",
		"consumer/extender.go", "	if submit && lost {", "	if submit && lost && d == nil {",
		"./consumer", "TestAVerdictIsNotCarriedOutOnceTheLeaseIsLost"),
	by("3.5", "an ordered queue receives for its slots, not for its groups",
		"consumer/slots.go", "if s.groups.ordered() && s.turns < want {", "if false {", "./consumer", "TestAnOrderedQueueUsesAllSlots"),
	by("3.5", "an idle queue's long poll keeps its slots",
		"consumer/slots.go", "len(c.sources) > 1 && !s.busy && s.ask <= fewMessages && c.hand.room() > 0", "false", "./consumer", "TestIdleQueuesLeaveTheSlotsToTheBusyOne"),

	// User code.
	by("4", "the text of a handler's error can panic",
		"consumer/internal/verdict/verdict.go", "if text := invoke.Text(err); text != \"\" {", "if text := err.Error(); invoke.Text(nil) == \"\" {",
		"./consumer", "TestATypedNilIsAnErrorLikeAnyOther"),
	bySeams("4", "a gate is called inline",
		"consumer/gates.go", "err := invoke.DoApart(func() { n, reopened = gate.Admit(want) })", "n, reopened = gate.Admit(want)\n	var err error", "mem"),
	bySeams("4", "an OnExtend hook is called inline",
		"consumer/handlerlease.go", "err := invoke.DoApart(func() { hook(deadline) })", "hook(deadline)\n	var err error", "mem"),
	bySeams("4", "a producer's hook is called inline",
		"producer/entry.go", "if panicked := invoke.Do(func() { err = f(ctx, &e.msg) }); panicked != nil {",
		"err = f(ctx, &e.msg)\n			if panicked := invoke.Do(func() {}); panicked != nil {", "mem"),

	// Clocks and leases.
	by("5.1", "a file's time is the wall clock's",
		"internal/queue/sqlitequeue/epoch.go", "	if e.sameBoot(r) {\n		since = r.uptime - e.uptime\n	}\n", "", "./internal/queue/sqlitequeue", "TestEpoch"),
	by("5.1", "a deadline is compared by the wall clock",
		"consumer/lease.go", "return now.Add(t.Sub(now))", "return t", "./consumer", "TestADeadlineOfTheWallClockIsConvertedOnce"),
	by("5.1", "a lease does not run down in a suspend",
		"consumer/sleepclock.go", "if d <= jitter || !k.judged", "if d > 0 || !k.judged", "./consumer", "TestALeaseRunsDownWhileTheMachineIsSuspended"),
	by("5.2", "receives do not ask for their lease",
		"drivers/sqs/receiver.go", "VisibilityTimeout:     seconds(lease),", "",
		"./drivers/sqs", "TestEveryReceiveAsksForItsLease"),
	bySeams("5.2", "the visibility timeout is read once",
		"drivers/sqs/receiver.go", "		VisibilityTimeout:     seconds(lease),\n", "", "sqs"),
	by("5.3", "a time far away wraps",
		"internal/queue/internal/store/moment.go", "	if d > 0 && at > math.MaxInt64-int64(d) {\n		return math.MaxInt64\n	}\n	return at + int64(d)", "	return at + int64(d)",
		"./internal/queue/internal/store", "TestTimesSaturate"),
	bySeams("5.4", "what follows the drain has a budget of its own",
		"consumer/drain.go", "	flushBy := end.Add(-r.closeTime())", "	end = end.Add(c.cfg.StopTimeout)\n	flushBy := end.Add(-r.closeTime())", "mem"),
	by("5.4", "the same",
		"consumer/drain.go", "	flushBy := end.Add(-r.closeTime())", "	end = end.Add(c.cfg.StopTimeout)\n	flushBy := end.Add(-r.closeTime())",
		"./consumer", "TestAShutdownHasOneBudget"),

	// Health, outages, silence.
	by("6.1", "an outage is a stall",
		"consumer/monitor.go", "case h.Status == HealthOK && !c.gates.closed.Load() && m.deaf(now):", "case h.Status != HealthOK || !c.gates.closed.Load() && m.deaf(now):",
		"./consumer", "TestProbesThroughWhatIsNoStall"),
	by("6.1", "a closed gate is a stall",
		"consumer/monitor.go", "case h.Status == HealthOK && !c.gates.closed.Load() && m.deaf(now):", "case h.Status == HealthOK && (c.gates.closed.Load() || m.deaf(now)):",
		"./consumer", "TestProbesThroughWhatIsNoStall"),
	by("6.2", "one refusal ends Run",
		"consumer/outage.go", "return t.last.Sub(since) >= positive(giveUp)\n}", "return true\n}", "./consumer", "TestARefusalThatPassesDoesNotEndRun"),
	by("6.3", "a nil Logger logs nothing",
		"internal/invoke/logger.go", "l = slog.Default() //nolint:forbidigo // what a nil Logger means, as in net/http", "l = slog.New(slog.DiscardHandler)",
		"./consumer", "TestANilLoggerIsTheDefaultOne"),
	by("6.4", "a file that was deleted takes sends",
		"internal/queue/sqlitequeue/files.go", "return fmt.Errorf(\"%w: there is no %s any more\", queue.ErrMoved, w.path)", "return nil",
		"./internal/queue/sqlitequeue", "TestLostFileIsNoticed"),
	by("6.4", "a file that was truncated in place takes sends",
		"internal/queue/sqlitequeue/files.go", "if shrunk && now.Size() == 0 {", "if false {",
		"./internal/queue/sqlitequeue", "TestDamagedFileIsNoticed"),
	by("6.4", "a log that was overwritten takes sends",
		"internal/queue/sqlitequeue/files.go", "case binary.BigEndian.Uint32(b[:])&^1 != logMagic:", "case binary.BigEndian.Uint32(b[:]) == 1:",
		"./internal/queue/sqlitequeue", "TestDamagedFileIsNoticed"),
	by("6.4", "a foreign file is taken",
		"internal/queue/sqlitequeue/file.go", "return false, fmt.Errorf(\"%w: it is another program's SQLite file\", queue.ErrForeign)", "return false, nil",
		"./internal/queue/sqlitequeue", "TestForeignFilesAreLeftAlone"),
	by("6.5", "a damaged message takes those beside it along",
		"drivers/sqs/checksum.go", "			good = append(good, *m)", "			_ = append(good, *m)", "./drivers/sqs", "TestADamagedMessageKeepsNoOthersBack"),
	by("6.6", "a Send whose context has ended sends",
		"producer/entry.go", "	if err := ctx.Err(); err != nil {", "	if err := ctx.Err(); err != nil && false {",
		"./producer", "TestAnEndedContextSendsNothing"),
}
