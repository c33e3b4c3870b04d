// The accept scenario for k6: signed payments, posted at a constant rate however long the answers take.
//
//   BODIES=bodies.jsonl URL=http://127.0.0.1:4020 KEY=… RATE=1000 DURATION=20s k6 run loadtest/k6/accept.js
//
// BODIES holds a signed request a line, as `compose/bench bodies --count N` writes them; each is posted once, so there
// have to be RATE times the seconds of DURATION. They are valid for 50 minutes.
import { check } from 'k6';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import http from 'k6/http';

const bodies = new SharedArray('bodies', () => open(__ENV.BODIES).trim().split('\n'));

export const options = {
    scenarios: {
        accept: {
            executor: 'constant-arrival-rate',
            rate: Number(__ENV.RATE || 1000),
            timeUnit: '1s',
            duration: __ENV.DURATION || '20s',
            preAllocatedVUs: 256,
            maxVUs: 2048,
        },
    },
    thresholds: {
        http_req_duration: ['p(99)<100'],
        checks: ['rate==1'],
        // A request that found no free user was not sent when it was due.
        dropped_iterations: ['count==0'],
    },
};

const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${__ENV.KEY}` };

export default function () {
    const number = exec.scenario.iterationInTest;
    if (number >= bodies.length) {
        exec.test.abort(`only ${bodies.length} bodies are there`);
    }
    const answer = http.post(`${__ENV.URL}/v1/payments`, bodies[number], { headers });
    check(answer, { 'is accepted': ({ status }) => status === 202 });
}
