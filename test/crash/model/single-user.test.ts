import { describeModel } from './suite.ts';

describeModel('single-user');
