import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Call, type StageTimes, serverTiming } from '../models/call.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** When its head was read; as `performance.now()`. */
    arrivedMs: number;
  }
}

const TIMEOUT_HEADER = 'x-request-timeout-ms';

/**
 * @param startedMs - when its body had been read
 * @returns undefined for a request that waits for ever and does not want to know more
 */
export function callOf(request: FastifyRequest, isTimed: boolean, startedMs: number): Call | undefined {
  const given = request.headers[TIMEOUT_HEADER];
  if (given === undefined && !isTimed) return undefined;
  const { arrivedMs } = request;
  // By the route's schema it is a number above 0.
  const timeoutMs = given === undefined ? undefined : Number(given);
  const features = performance.now() - startedMs;
  return {
    deadlineMs: timeoutMs === undefined ? undefined : arrivedMs + timeoutMs,
    timing: isTimed ? { parse: startedMs - arrivedMs, features, queue: 0, inference: 0 } : undefined,
  };
}

/** @returns the answer, written: that is a stage as well */
export function tellStages(reply: FastifyReply, timing: StageTimes, answer: object): string {
  const beganMs = performance.now();
  const text = JSON.stringify(answer);
  reply.header('server-timing', serverTiming(timing, performance.now() - beganMs));
  reply.type('application/json; charset=utf-8');
  return text;
}
