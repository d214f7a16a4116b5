package queue

// memTask is a move task of an engine in memory. The engine's mutex guards it.
type memTask struct {
	Task
	source *memQueue
	begin  int64 // Started by the engine's time
	// limit is the last sequence that was there when the task began.
	limit int64
	stop  chan struct{} // closed when the task is canceled
}
