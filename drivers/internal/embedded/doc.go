// Package embedded holds what the drivers of the embedded queue share: the port
// over a [queue.Engine] with any store, and the parameters of their URLs.
package embedded
